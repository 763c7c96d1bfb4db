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

void add_gradient(Param& weight, const Tensor& dy, const Tensor& x, const Tensor& offsets) {
  if (!weight.trained) return;
  const Param::Target target = weight.product_target();
  dy.backend().ops().grouped_matmul_weight(dy.backend().context(), dy, x, offsets, target.grad,
                                           target.accumulate);
}

Adapters::Groups groups_of(const Experts::Rows& rows) {
  return {.offsets = rows.offsets, .buffer_rows = rows.buffer_rows};
}

}  // namespace

Experts::Experts(ParamStore& store, const spec::ModelConfig& config, std::string prefix)
    : activation_(activation_type(config.activation)),
      prefix_(std::move(prefix)),
      in_(&store.get(prefix_ + ".experts.in.weight")),
      out_(&store.get(prefix_ + ".experts.out.weight")),
      in_adapters_(store, in_->spec.name),
      out_adapters_(store, out_->spec.name) {}

Tensor Experts::forward(const Rows& rows, Pass& pass) {
  Backend& backend = rows.permuted.backend();
  const kernels::OpTable& ops = backend.ops();
  const DType dtype = rows.permuted.dtype();
  const Tensor inner = in_use(
      pass.stash.put(prefix_ + ".inner", {rows.buffer_rows, in_->value.dim(1)}, dtype), rows);
  const Tensor act =
      in_use(pass.cheap(prefix_ + ".act", {rows.buffer_rows, out_->value.dim(2)}, dtype), rows);
  ops.grouped_matmul(backend.context(), rows.permuted, in_->value, rows.offsets, inner, true);
  in_adapters_.forward(rows.permuted, groups_of(rows), inner);
  ops.activation_forward(backend.context(), activation_, inner, rows.row_gates, act);
  Tensor y = workspace(rows, out_->value.dim(1));
  ops.grouped_matmul(backend.context(), act, out_->value, rows.offsets, y, true);
  out_adapters_.forward(act, groups_of(rows), y);
  return y;
}

Experts::InputGradient Experts::backward_input(const Tensor& dy, const Rows& rows, Pass& pass) {
  Backend& backend = dy.backend();
  const kernels::OpTable& ops = backend.ops();
  Stash& stash = pass.stash;
  const Tensor inner = in_use(stash.take(prefix_ + ".inner"), rows);
  if (!pass.keeps_cheap()) {
    const Tensor act = workspace(rows, out_->value.dim(2));
    stash.put_gradient(prefix_ + ".act", act);
    ops.activation_forward(backend.context(), activation_, inner, rows.row_gates, act);
  }
  Tensor d_act = workspace(rows, out_->value.dim(2));
  ops.grouped_matmul(backend.context(), dy, out_->value, rows.offsets, d_act, false);
  out_adapters_.backward_input(dy, groups_of(rows), d_act);

  InputGradient gradient;
  gradient.row_gates = in_use(
      Tensor::empty(backend, {rows.buffer_rows}, rows.row_gates.dtype(), MemoryKind::workspace),
      rows);
  const Tensor& d_inner = inner;  // in place: nothing reads the input after it
  stash.put_gradient(prefix_ + ".d_inner", d_inner);
  ops.activation_backward(backend.context(), activation_, d_act, inner, rows.row_gates, d_inner,
                          gradient.row_gates);
  d_act = {};
  gradient.permuted = workspace(rows, in_->value.dim(2));
  ops.grouped_matmul(backend.context(), d_inner, in_->value, rows.offsets, gradient.permuted,
                     false);
  in_adapters_.backward_input(d_inner, groups_of(rows), gradient.permuted);
  stash.put_gradient(prefix_ + ".d_out", dy);
  return gradient;
}

void Experts::backward_weight(const Rows& rows, Pass& pass) {
  Stash& stash = pass.stash;
  {
    const Tensor d_inner = stash.take(prefix_ + ".d_inner");
    in_adapters_.backward_weight(d_inner, rows.permuted, groups_of(rows));
    add_gradient(*in_, d_inner, rows.permuted, rows.offsets);
  }
  const Tensor d_out = stash.take(prefix_ + ".d_out");
  const Tensor act = in_use(stash.take(prefix_ + ".act"), rows);
  out_adapters_.backward_weight(d_out, act, groups_of(rows));
  add_gradient(*out_, d_out, act, rows.offsets);
}

}  // namespace tera::nn
