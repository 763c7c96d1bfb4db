#include "core/nn/tensor_parallel.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/comm/mesh_groups.h"
#include "core/plan/shared_gradient.h"

namespace tera::nn {

TensorGroup::TensorGroup(const ParamStore& store) {
  const Parallelism& parallel = store.parallel();
  if (parallel.groups == nullptr) return;
  comm::Communicator& ranks = (*parallel.groups)[plan::Axis::tensor];
  if (ranks.size() == 1) return;
  ranks_ = &ranks;
  splits_tokens_ = parallel.sequence_parallel;
}

Tensor TensorGroup::gather(const Tensor& x) const {
  if (!splits_tokens_) return x;
  Tensor all =
      Tensor::empty(x.backend(), {x.dim(0) * size(), x.dim(1)}, x.dtype(), MemoryKind::workspace);
  ranks_->all_gather(x, all);
  return all;
}

Tensor TensorGroup::sum(const Tensor& y) const {
  if (ranks_ == nullptr) return y;
  Tensor sum = y;
  if (!splits_tokens_) {
    ranks_->all_reduce(sum, comm::Reduce::sum);
    return sum;
  }
  TERA_CHECK(y.dim(0) % size() == 0, "{} tokens for {} tensor-parallel ranks", y.dim(0), size());
  sum = Tensor::empty(y.backend(), {y.dim(0) / size(), y.dim(1)}, y.dtype(), MemoryKind::workspace);
  ranks_->reduce_scatter(y, sum, comm::Reduce::sum);
  return sum;
}

int own_heads(const ParamStore& store, int count) {
  return std::max(1, count / TensorGroup(store).size());
}

namespace {

// Rows that several ranks hold, each with the gradient of its own heads.
void sum_copies(Param& param, comm::Communicator& ranks) {
  Backend& backend = param.grad.backend();
  const Tensor whole =
      Tensor::zeros(backend, param.spec.shape, param.grad.dtype(), MemoryKind::workspace);
  const auto copy = [&](bool back) {
    const std::int64_t bytes = dtype_bytes(whole.dtype());
    auto* all = whole.data<std::byte>();
    auto* own = param.grad.data<std::byte>();
    param.slice.for_each([&](std::int64_t global, std::int64_t local, std::int64_t count, bool) {
      std::byte* const from = back ? all + global * bytes : own + local * bytes;
      std::byte* const to = back ? own + local * bytes : all + global * bytes;
      std::memcpy(to, from, static_cast<std::size_t>(count * bytes));
    });
  };
  copy(false);
  Tensor summed = whole;
  ranks.all_reduce(summed, comm::Reduce::sum);
  copy(true);
}

}  // namespace

void sum_shared_gradient(Param& param, const TensorGroup& group) {
  switch (plan::shared_gradient(param.spec, group.size(), group.splits_tokens())) {
    case plan::SharedGradient::complete:
      return;
    case plan::SharedGradient::summed:
      return group.ranks()->all_reduce(param.grad, comm::Reduce::sum);
    case plan::SharedGradient::copied:
      return sum_copies(param, *group.ranks());
  }
}

TensorParallel::TensorParallel(const ParamStore& store, Module& part, std::string input)
    : group_(store),
      part_(&part),
      input_(std::move(input)),
      part_input_(part_input(store, input_)) {}

std::string TensorParallel::part_input(const ParamStore& store, const std::string& input) {
  return TensorGroup(store).splits_tokens() ? input + ".all" : input;
}

Tensor TensorParallel::forward(const Tensor& x, Pass& pass) {
  return group_.sum(part_->forward(group_.gather(x), pass));
}

Tensor TensorParallel::backward_input(const Tensor& dy, Pass& pass) {
  return group_.sum(part_->backward_input(group_.gather(dy), pass));
}

void TensorParallel::backward_weight(Pass& pass) {
  if (!group_.splits_tokens()) return part_->backward_weight(pass);
  pass.stash.put_gradient(part_input_, group_.gather(pass.stash.get(input_)));
  part_->backward_weight(pass);
  pass.stash.release(part_input_);
}

}  // namespace tera::nn
