#include "core/nn/token_dispatcher.h"

#include <utility>

namespace tera::nn {

TokenDispatcher::TokenDispatcher(const spec::ModelConfig& config, std::string prefix)
    : prefix_(std::move(prefix)), num_experts_(config.num_experts) {}

Tensor TokenDispatcher::dispatch(const Tensor& x, const Tensor& indices, Pass& pass) const {
  Backend& backend = x.backend();
  const kernels::OpTable& ops = backend.ops();
  const Tensor offsets = pass.stash.put(prefix_ + ".offsets", {num_experts_ + 1}, DType::i64);
  const Tensor to_rows =
      pass.stash.put(prefix_ + ".rows", {indices.dim(0), indices.dim(1)}, DType::i32);
  ops.moe_dispatch(backend.context(), indices, offsets, to_rows);
  Tensor permuted =
      pass.stash.put(prefix_ + ".permuted", {indices.num_elements(), x.dim(1)}, x.dtype());
  ops.moe_permute(backend.context(), x, to_rows, permuted);
  return permuted;
}

Tensor TokenDispatcher::dispatch_gates(const Tensor& gates, const Pass& pass) const {
  Backend& backend = gates.backend();
  Tensor row_gates =
      Tensor::empty(backend, {gates.num_elements()}, gates.dtype(), MemoryKind::workspace);
  backend.ops().moe_scatter_gates(backend.context(), gates, rows(pass), row_gates);
  return row_gates;
}

void TokenDispatcher::combine(const Tensor& y,
                              const Tensor& x,
                              bool accumulate,
                              const Pass& pass) const {
  y.backend().ops().moe_unpermute(y.backend().context(), y, rows(pass), x, accumulate);
}

Tensor TokenDispatcher::combine_backward(const Tensor& dy, const Pass& pass) const {
  const Tensor& to_rows = rows(pass);
  Backend& backend = dy.backend();
  Tensor d_rows = Tensor::empty(backend, {to_rows.num_elements(), dy.dim(1)}, dy.dtype(),
                                MemoryKind::workspace);
  backend.ops().moe_permute(backend.context(), dy, to_rows, d_rows);
  return d_rows;
}

Tensor TokenDispatcher::gates_backward(const Tensor& d_row_gates, const Pass& pass) const {
  const Tensor& to_rows = rows(pass);
  Backend& backend = d_row_gates.backend();
  Tensor d_gates = Tensor::empty(backend, {to_rows.dim(0), to_rows.dim(1)}, d_row_gates.dtype(),
                                 MemoryKind::workspace);
  backend.ops().moe_gather_gates(backend.context(), d_row_gates, to_rows, d_gates);
  return d_gates;
}

void TokenDispatcher::release(Pass& pass) const {
  for (const char* kept : {".offsets", ".rows", ".permuted"})
    pass.stash.release(prefix_ + kept);
}

}  // namespace tera::nn
