#include "core/nn/linear.h"

namespace tera::nn {

Linear::Linear(ParamStore& store, const std::string& name)
    : backend_(&store.backend()), weight_(&store.get(name + ".weight")) {
  weight_->overwritten_first = true;
  if (store.has(name + ".bias")) bias_ = &store.get(name + ".bias");
}

Tensor Linear::forward(const Tensor& x) const {
  Tensor y = Tensor::empty(*backend_, {x.dim(0), out_features()}, x.dtype(), MemoryKind::workspace);
  forward(x, y);
  return y;
}

void Linear::forward(const Tensor& x, const Tensor& y) const {
  backend_->ops().matmul(backend_->context(), x, weight_->value, y, {.transpose_b = true});
  if (bias_ != nullptr) backend_->ops().add_bias(backend_->context(), y, bias_->value);
}

Tensor Linear::backward_input(const Tensor& dy) const {
  Tensor dx =
      Tensor::empty(*backend_, {dy.dim(0), in_features()}, dy.dtype(), MemoryKind::workspace);
  backend_->ops().matmul(backend_->context(), dy, weight_->value, dx, {});
  return dx;
}

void Linear::backward_weight(const Tensor& dy, const Tensor& x) {
  backend_->ops().matmul(backend_->context(), dy, x, weight_->grad,
                         {.transpose_a = true, .accumulate = weight_->adds()});
  if (bias_ != nullptr) backend_->ops().bias_backward(backend_->context(), dy, bias_->grad);
}

}  // namespace tera::nn
