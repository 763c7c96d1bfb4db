#include "core/nn/experts.h"

#include <utility>

#include "core/nn/mlp.h"

namespace tera::nn {

Experts::Experts(ParamStore& store, const spec::ModelConfig& config, std::string prefix)
    : activation_(activation_type(config.activation)),
      prefix_(std::move(prefix)),
      in_(&store.get(prefix_ + ".experts.in.weight")),
      out_(&store.get(prefix_ + ".experts.out.weight")) {}

Tensor Experts::forward(const Rows& rows, Pass& pass) {
  Backend& backend = rows.permuted.backend();
  const kernels::OpTable& ops = backend.ops();
  const std::int64_t count = rows.permuted.dim(0);
  const DType dtype = rows.permuted.dtype();
  const Tensor inner = pass.stash.put(prefix_ + ".inner", {count, in_->value.dim(1)}, dtype);
  const Tensor act = pass.stash.put(prefix_ + ".act", {count, out_->value.dim(2)}, dtype);
  ops.grouped_matmul(backend.context(), rows.permuted, in_->value, rows.offsets, inner, true);
  ops.activation_forward(backend.context(), activation_, inner, rows.row_gates, act);
  Tensor y = Tensor::empty(backend, {count, out_->value.dim(1)}, dtype, MemoryKind::workspace);
  ops.grouped_matmul(backend.context(), act, out_->value, rows.offsets, y, true);
  return y;
}

Experts::InputGradient Experts::backward_input(const Tensor& dy, const Rows& rows, Pass& pass) {
  Backend& backend = dy.backend();
  const kernels::OpTable& ops = backend.ops();
  Stash& stash = pass.stash;
  const std::int64_t count = dy.dim(0);
  const Tensor& inner = stash.get(prefix_ + ".inner");
  const Tensor d_act =
      Tensor::empty(backend, {count, out_->value.dim(2)}, dy.dtype(), MemoryKind::workspace);
  ops.grouped_matmul(backend.context(), dy, out_->value, rows.offsets, d_act, false);

  InputGradient gradient;
  gradient.row_gates =
      Tensor::empty(backend, {count}, rows.row_gates.dtype(), MemoryKind::workspace);
  const Tensor d_inner =
      stash.put_gradient(prefix_ + ".d_inner", {count, inner.dim(1)}, dy.dtype());
  ops.activation_backward(backend.context(), activation_, d_act, inner, rows.row_gates, d_inner,
                          gradient.row_gates);
  gradient.permuted =
      Tensor::empty(backend, {count, in_->value.dim(2)}, dy.dtype(), MemoryKind::workspace);
  ops.grouped_matmul(backend.context(), d_inner, in_->value, rows.offsets, gradient.permuted,
                     false);
  stash.put_gradient(prefix_ + ".d_out", dy);
  return gradient;
}

void Experts::backward_weight(const Rows& rows, Pass& pass) {
  Backend& backend = rows.permuted.backend();
  const kernels::OpTable& ops = backend.ops();
  Stash& stash = pass.stash;
  ops.grouped_matmul_weight(backend.context(), stash.take(prefix_ + ".d_out"),
                            stash.take(prefix_ + ".act"), rows.offsets, out_->grad);
  ops.grouped_matmul_weight(backend.context(), stash.take(prefix_ + ".d_inner"), rows.permuted,
                            rows.offsets, in_->grad);
  stash.release(prefix_ + ".inner");
}

}  // namespace tera::nn
