#include "core/nn/embedding.h"

namespace tera::nn {

Embedding::Embedding(ParamStore& store, const spec::ModelConfig& config)
    : backend_(&store.backend()),
      multiplier_(config.embedding_multiplier),
      tokens_(&store.get("embedding.tokens")) {
  if (store.has("embedding.positions")) positions_ = &store.get("embedding.positions");
}

Tensor Embedding::forward(const Pass& pass) const {
  const Batch& batch = pass.batch;
  Tensor x = Tensor::empty(*backend_, {batch.tokens.dim(0), tokens_->value.dim(1)},
                           tokens_->value.dtype(), MemoryKind::activations);
  const kernels::OpTable& ops = backend_->ops();
  ops.embedding_forward(backend_->context(), batch.tokens, tokens_->value, x, false);
  if (multiplier_ != 1) ops.scale(backend_->context(), x, multiplier_, x);
  if (positions_ != nullptr) {
    ops.embedding_forward(backend_->context(), batch.positions, positions_->value, x, true);
  }
  return x;
}

void Embedding::backward_weight(const Tensor& dx, const Pass& pass) {
  const Batch& batch = pass.batch;
  const kernels::OpTable& ops = backend_->ops();
  if (positions_ != nullptr) {
    ops.embedding_backward(backend_->context(), batch.positions, dx, positions_->grad);
  }
  if (multiplier_ != 1) ops.scale(backend_->context(), dx, multiplier_, dx);
  ops.embedding_backward(backend_->context(), batch.tokens, dx, tokens_->grad);
}

}  // namespace tera::nn
