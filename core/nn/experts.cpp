#include "core/nn/experts.h"

#include <utility>

#include "core/nn/mlp.h"

namespace tera::nn {
namespace {

Tensor in_use(const Tensor& buffer, const Experts::Rows& rows) {
  return buffer.slice(0, 0, rows.permuted.dim(0));
}

// [N, width] at the beginning of a buffer whose size is the same in every step.
Tensor workspace(const Experts::Rows& rows, std::int64_t width) {
  return in_use(Tensor::empty(rows.permuted.backend(), {rows.buffer_rows, width},
                              rows.permuted.dtype(), MemoryKind::workspace),
                rows);
}

}  // namespace

Experts::Experts(ParamStore& store, const spec::ModelConfig& config, std::string prefix)
    : activation_(activation_type(config.activation)),
      prefix_(std::move(prefix)),
      in_(&store.get(prefix_ + ".experts.in.weight")),
      out_(&store.get(prefix_ + ".experts.out.weight")) {}

Tensor Experts::forward(const Rows& rows, Pass& pass) {
  Backend& backend = rows.permuted.backend();
  const kernels::OpTable& ops = backend.ops();
  const DType dtype = rows.permuted.dtype();
  const auto keep = [&](const char* name, std::int64_t width) {
    return in_use(pass.stash.put(prefix_ + name, {rows.buffer_rows, width}, dtype), rows);
  };
  const Tensor inner = keep(".inner", in_->value.dim(1));
  const Tensor act = keep(".act", out_->value.dim(2));
  ops.grouped_matmul(backend.context(), rows.permuted, in_->value, rows.offsets, inner, true);
  ops.activation_forward(backend.context(), activation_, inner, rows.row_gates, act);
  Tensor y = workspace(rows, out_->value.dim(1));
  ops.grouped_matmul(backend.context(), act, out_->value, rows.offsets, y, true);
  return y;
}

Experts::InputGradient Experts::backward_input(const Tensor& dy, const Rows& rows, Pass& pass) {
  Backend& backend = dy.backend();
  const kernels::OpTable& ops = backend.ops();
  Stash& stash = pass.stash;
  const Tensor inner = in_use(stash.get(prefix_ + ".inner"), rows);
  const Tensor d_act = workspace(rows, out_->value.dim(2));
  ops.grouped_matmul(backend.context(), dy, out_->value, rows.offsets, d_act, false);

  InputGradient gradient;
  gradient.row_gates = in_use(
      Tensor::empty(backend, {rows.buffer_rows}, rows.row_gates.dtype(), MemoryKind::workspace),
      rows);
  const Tensor d_inner = workspace(rows, inner.dim(1));
  stash.put_gradient(prefix_ + ".d_inner", d_inner);
  ops.activation_backward(backend.context(), activation_, d_act, inner, rows.row_gates, d_inner,
                          gradient.row_gates);
  gradient.permuted = workspace(rows, in_->value.dim(2));
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
                            in_use(stash.take(prefix_ + ".act"), rows), rows.offsets, out_->grad);
  ops.grouped_matmul_weight(backend.context(), stash.take(prefix_ + ".d_inner"), rows.permuted,
                            rows.offsets, in_->grad);
  stash.release(prefix_ + ".inner");
}

}  // namespace tera::nn
