#include "core/nn/mlp.h"

#include <utility>

namespace tera::nn {

kernels::Activation activation_type(spec::ActivationKind kind) {
  switch (kind) {
    case spec::ActivationKind::swiglu:
      break;
    case spec::ActivationKind::gelu:
      return kernels::Activation::gelu;
    case spec::ActivationKind::relu:
      return kernels::Activation::relu;
    case spec::ActivationKind::gelu_exact:
      return kernels::Activation::gelu_exact;
    case spec::ActivationKind::relu_squared:
      return kernels::Activation::relu_squared;
    case spec::ActivationKind::geglu:
      return kernels::Activation::geglu;
  }
  return kernels::Activation::swiglu;
}

Mlp::Mlp(ParamStore& store, spec::ActivationKind activation, std::string prefix, std::string input)
    : activation_(activation_type(activation)),
      prefix_(std::move(prefix)),
      input_(std::move(input)),
      in_(store, prefix_ + ".in"),
      out_(store, prefix_ + ".out") {}

Tensor Mlp::forward(const Tensor& x, const Tensor& row_scale, Pass& pass) {
  const Tensor inner =
      pass.stash.put(prefix_ + ".inner", {x.dim(0), in_.out_features()}, x.dtype());
  const Tensor act = pass.cheap(prefix_ + ".act", {x.dim(0), out_.in_features()}, x.dtype());
  in_.forward(x, inner);
  x.backend().ops().activation_forward(x.backend().context(), activation_, inner, row_scale, act);
  return out_.forward(act);
}

Tensor Mlp::backward_input(const Tensor& dy,
                           const Tensor& row_scale,
                           const Tensor& d_row_scale,
                           Pass& pass) {
  Stash& stash = pass.stash;
  Backend& backend = dy.backend();
  const Tensor inner = stash.take(prefix_ + ".inner");
  if (!pass.keeps_cheap()) {
    const Tensor act =
        stash.put_gradient(prefix_ + ".act", {inner.dim(0), out_.in_features()}, inner.dtype());
    backend.ops().activation_forward(backend.context(), activation_, inner, row_scale, act);
  }
  Tensor d_act = out_.backward_input(dy);  // [T, F]
  const Tensor& d_inner = inner;           // in place: nothing reads the input after it
  stash.put_gradient(prefix_ + ".d_inner", d_inner);
  backend.ops().activation_backward(backend.context(), activation_, d_act, inner, row_scale,
                                    d_inner, d_row_scale);
  d_act = {};
  stash.put_gradient(prefix_ + ".d_out", dy);
  return in_.backward_input(d_inner);
}

void Mlp::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  out_.backward_weight(stash.take(prefix_ + ".d_out"), stash.take(prefix_ + ".act"));
  in_.backward_weight(stash.take(prefix_ + ".d_inner"), stash.get(input_));
}

}  // namespace tera::nn
