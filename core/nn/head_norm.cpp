#include "core/nn/head_norm.h"

#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/nn/elements.h"
#include "core/nn/tensor_parallel.h"

namespace tera::nn {
namespace {

// [T, A, D] rows strided, heads side by side, as [T, A D].
kernels::View token_rows(const kernels::View& heads) {
  TERA_CHECK(heads.shape[1] == 1 || heads.strides[1] == heads.shape[2],
             "heads {} apart, expected side by side: {}", heads.strides[1], heads.shape[2]);
  kernels::View rows = heads;
  rows.rank = 2;
  rows.shape = {heads.shape[0], heads.shape[1] * heads.shape[2], 1, 1};
  rows.strides = {heads.strides[0], 1, 0, 0};
  return rows;
}

// Elements of a token on all ranks. Heads that several ranks hold count in every sum that often.
double shared_width(const Tensor& raw, const comm::Communicator& ranks) {
  return static_cast<double>(raw.dim(1) * raw.dim(2) * ranks.size());
}

}  // namespace

HeadNorm::HeadNorm(ParamStore& store, std::string name, bool per_head, double eps)
    : name_(std::move(name)),
      backend_(&store.backend()),
      per_head_(per_head),
      eps_(eps),
      weight_(&store.get(name_ + "_norm.weight")),
      ranks_(per_head ? nullptr : TensorGroup(store).ranks()) {}

void HeadNorm::forward(const kernels::View& x,
                       const Rotary& rotary,
                       const Tensor& positions,
                       const Tensor& y,
                       Stash& stash) const {
  const Tensor raw = stash.put(name_ + "_raw", {y.dim(0), y.dim(1), y.dim(2)}, y.dtype());
  const DType accumulate = kernels::accumulate_dtype(y.dtype());
  const Tensor rstd = per_head_ ? stash.put(name_ + "_rstd", {y.dim(0), y.dim(1)}, accumulate)
                                : stash.put(name_ + "_rstd", {y.dim(0)}, accumulate);
  if (ranks_ != nullptr) {
    forward_shared(x, raw, y, rstd);
    return rotary.forward(y, positions, y);
  }
  backend_->ops().qk_norm_forward(backend_->context(), x, weight_->value, eps_, positions,
                                  rotary.frequencies(), rotary.options(), raw, y, rstd);
}

void HeadNorm::backward_input(const kernels::View& dy,
                              const Rotary& rotary,
                              const Tensor& positions,
                              const kernels::View& dx,
                              Stash& stash) const {
  const Tensor& raw = stash.get(name_ + "_raw");
  const Tensor d_norm =
      stash.put_gradient(name_ + "_d_norm", {raw.dim(0), raw.dim(1), raw.dim(2)}, raw.dtype());
  if (ranks_ != nullptr) {
    rotary.backward(dy, positions, d_norm);
    return backward_shared(d_norm, raw, stash.get(name_ + "_rstd"), dx);
  }
  backend_->ops().qk_norm_backward_input(backend_->context(), dy, raw, weight_->value,
                                         stash.get(name_ + "_rstd"), positions,
                                         rotary.frequencies(), rotary.options(), d_norm, dx);
}

void HeadNorm::forward_shared(const kernels::View& x,
                              const Tensor& raw,
                              const Tensor& y,
                              const Tensor& rstd) const {
  const kernels::OpTable& ops = backend_->ops();
  const kernels::Context& context = backend_->context();
  ops.copy(context, x, raw);
  const kernels::View rows = token_rows(raw);
  Tensor sums = rstd;
  ops.dot_rows(context, rows, rows, {}, sums);
  ranks_->all_reduce(sums, comm::Reduce::sum);
  const double width = shared_width(raw, *ranks_);
  with_elements(rstd, [&]<class A>(A* values) {
    for (std::int64_t t = 0; t < rstd.num_elements(); ++t)
      values[t] = static_cast<A>(1 / std::sqrt(double{values[t]} / width + eps_));
  });
  ops.scale_rows(context, rows, weight_->value, rstd, {}, {}, token_rows(y));
}

// dx = rstd (g - x^ mean(g x^)) with g = d_norm w and x^ = raw rstd, the mean over all ranks.
void HeadNorm::backward_shared(const Tensor& d_norm,
                               const Tensor& raw,
                               const Tensor& rstd,
                               const kernels::View& dx) const {
  const kernels::OpTable& ops = backend_->ops();
  const kernels::Context& context = backend_->context();
  const std::int64_t tokens = rstd.num_elements();
  Tensor sums = Tensor::empty(*backend_, {tokens}, rstd.dtype(), MemoryKind::workspace);
  ops.dot_rows(context, token_rows(d_norm), token_rows(raw), weight_->value, sums);
  ranks_->all_reduce(sums, comm::Reduce::sum);
  const double width = shared_width(raw, *ranks_);
  with_elements(sums, [&]<class A>(A* values) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const double scale = rstd.data<A>()[t];
      values[t] = static_cast<A>(-scale * scale * scale * double{values[t]} / width);
    }
  });
  ops.scale_rows(context, token_rows(d_norm), weight_->value, rstd, token_rows(raw), sums,
                 token_rows(dx));
}

void HeadNorm::backward_weight(Stash& stash) {
  const Tensor d_norm = stash.take(name_ + "_d_norm");
  const Tensor raw = stash.take(name_ + "_raw");
  const Tensor rstd = stash.take(name_ + "_rstd");
  if (!weight_->trained) return;
  const std::int64_t norms = rstd.num_elements();
  const std::int64_t width = weight_->value.dim(0);
  backend_->ops().norm_backward_weight(backend_->context(), kernels::NormType::rms,
                                       d_norm.reshape({norms, width}), raw.reshape({norms, width}),
                                       rstd.reshape({norms}), {}, weight_->gradient(), {});
}

}  // namespace tera::nn
