#include "core/nn/shared_experts.h"

#include <utility>

namespace tera::nn {
namespace {

// The gate is a sigmoid router of one expert, which every token chooses.
constexpr kernels::RouterOptions kGateRouter{.type = kernels::RouterType::sigmoid};

Tensor workspace(Backend& backend, std::int64_t tokens, DType dtype) {
  return Tensor::zeros(backend, {tokens, 1}, dtype, MemoryKind::workspace);
}

}  // namespace

SharedExperts::SharedExperts(ParamStore& store,
                             const spec::ModelConfig& config,
                             std::string prefix,
                             std::string input)
    : prefix_(std::move(prefix)),
      input_(std::move(input)),
      mlp_(store, config.activation, prefix_, input_),
      gate_(config.shared_expert_gate ? &store.get(prefix_ + ".gate.weight") : nullptr) {}

Tensor SharedExperts::forward(const Tensor& x, Pass& pass) {
  if (gate_ == nullptr) return mlp_.forward(x, pass);
  return mlp_.forward(x, put_gate(x, pass), pass);
}

// [T]
Tensor SharedExperts::put_gate(const Tensor& x, Pass& pass) const {
  Backend& backend = x.backend();
  const std::int64_t tokens = x.dim(0);
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  const Tensor gate = pass.stash.put(prefix_ + ".gate", {tokens, 1}, accumulate);
  const Tensor logits = workspace(backend, tokens, accumulate);
  backend.ops().matmul(backend.context(), x, gate_->value, logits, {.transpose_b = true});
  const Tensor chosen = workspace(backend, tokens, DType::i32);
  backend.ops().router_forward(backend.context(), logits, {}, kGateRouter,
                               workspace(backend, tokens, accumulate), chosen, gate, {});
  return gate.reshape({tokens});
}

Tensor SharedExperts::backward_input(const Tensor& dy, Pass& pass) {
  if (gate_ == nullptr) return mlp_.backward_input(dy, pass);
  Backend& backend = dy.backend();
  const std::int64_t tokens = dy.dim(0);
  const Tensor& gate = pass.stash.get(prefix_ + ".gate");
  const Tensor d_gate = workspace(backend, tokens, gate.dtype());
  Tensor dx = mlp_.backward_input(dy, gate.reshape({tokens}), d_gate.reshape({tokens}), pass);
  const Tensor d_logits = pass.stash.put_gradient(prefix_ + ".d_gate", {tokens, 1}, gate.dtype());
  const Tensor chosen = workspace(backend, tokens, DType::i32);
  backend.ops().router_backward(backend.context(), {}, gate, chosen, gate, {}, d_gate, {}, 0.0,
                                kGateRouter, d_logits);
  backend.ops().matmul(backend.context(), d_logits, gate_->value, dx, {.accumulate = true});
  return dx;
}

void SharedExperts::backward_weight(Pass& pass) {
  mlp_.backward_weight(pass);
  if (gate_ == nullptr) return;
  const Tensor& x = pass.stash.get(input_);
  const Tensor d_gate = pass.stash.take(prefix_ + ".d_gate");
  if (gate_->trained) {
    x.backend().ops().matmul(x.backend().context(), d_gate, x, gate_->gradient(),
                             {.transpose_a = true, .accumulate = true});
  }
  pass.stash.release(prefix_ + ".gate");
}

}  // namespace tera::nn
