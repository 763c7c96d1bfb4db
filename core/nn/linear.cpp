#include "core/nn/linear.h"

#include "core/nn/tensor_parallel.h"

namespace tera::nn {

Linear::Linear(ParamStore& store, const std::string& name)
    : backend_(&store.backend()),
      weight_(&store.get(name + ".weight")),
      adapters_(store, name + ".weight") {
  if (store.has(name + ".bias")) bias_ = &store.get(name + ".bias");
  const bool sums_columns = in_features() != weight_->spec.shape[1];
  adds_bias_ = bias_ != nullptr && (!sums_columns || TensorGroup(store).rank() == 0);
}

Tensor Linear::forward(const Tensor& x) const {
  Tensor y = Tensor::empty(*backend_, {x.dim(0), out_features()}, x.dtype(), MemoryKind::workspace);
  forward(x, y);
  return y;
}

void Linear::forward(const Tensor& x, const Tensor& y) const {
  backend_->ops().matmul(backend_->context(), x, weight_->value, y, {.transpose_b = true});
  if (adds_bias_) backend_->ops().add_bias(backend_->context(), y, bias_->value);
  adapters_.forward(x, y);
}

Tensor Linear::backward_input(const Tensor& dy) const {
  Tensor dx =
      Tensor::empty(*backend_, {dy.dim(0), in_features()}, dy.dtype(), MemoryKind::workspace);
  backend_->ops().matmul(backend_->context(), dy, weight_->value, dx, {});
  adapters_.backward_input(dy, dx);
  return dx;
}

void Linear::backward_weight(const Tensor& dy, const Tensor& x) {
  adapters_.backward_weight(dy, x);
  if (weight_->trained) {
    const Param::Target target = weight_->product_target();
    backend_->ops().matmul(backend_->context(), dy, x, target.grad,
                           {.transpose_a = true, .accumulate = target.accumulate});
  }
  if (bias_ != nullptr && bias_->trained)
    backend_->ops().bias_backward(backend_->context(), dy, bias_->gradient());
}

void Linear::forward_rows(const kernels::View& x,
                          std::int64_t first,
                          const kernels::View& y) const {
  backend_->ops().matmul(backend_->context(), x, weight_->value.slice(0, first, first + y.shape[1]),
                         y, {.transpose_b = true});
  adapters_.forward_rows(x, first, y);
}

void Linear::backward_input_rows(const kernels::View& dy,
                                 std::int64_t first,
                                 const kernels::View& dx) const {
  backend_->ops().matmul(backend_->context(), dy,
                         weight_->value.slice(0, first, first + dy.shape[1]), dx, {});
  adapters_.backward_input_rows(dy, first, dx);
}

}  // namespace tera::nn
