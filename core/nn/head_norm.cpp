#include "core/nn/head_norm.h"

#include <utility>

namespace tera::nn {

HeadNorm::HeadNorm(ParamStore& store, std::string name, bool per_head, double eps)
    : name_(std::move(name)),
      backend_(&store.backend()),
      per_head_(per_head),
      eps_(eps),
      weight_(&store.get(name_ + "_norm.weight")) {}

void HeadNorm::forward(const kernels::View& x,
                       const Rotary& rotary,
                       const Tensor& positions,
                       const Tensor& y,
                       Stash& stash) const {
  const Tensor raw = stash.put(name_ + "_raw", {y.dim(0), y.dim(1), y.dim(2)}, y.dtype());
  const DType accumulate = kernels::accumulate_dtype(y.dtype());
  const Tensor rstd = per_head_ ? stash.put(name_ + "_rstd", {y.dim(0), y.dim(1)}, accumulate)
                                : stash.put(name_ + "_rstd", {y.dim(0)}, accumulate);
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
  backend_->ops().qk_norm_backward_input(backend_->context(), dy, raw, weight_->value,
                                         stash.get(name_ + "_rstd"), positions,
                                         rotary.frequencies(), rotary.options(), d_norm, dx);
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
