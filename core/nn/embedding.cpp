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
  Tensor x = words(batch.tokens);
  if (positions_ != nullptr) {
    backend_->ops().embedding_forward(backend_->context(), batch.positions, positions_->value, x,
                                      true);
  }
  return x;
}

Tensor Embedding::words(const Tensor& ids) const {
  Tensor x = Tensor::empty(*backend_, {ids.dim(0), tokens_->value.dim(1)}, tokens_->value.dtype(),
                           MemoryKind::workspace);
  const kernels::OpTable& ops = backend_->ops();
  ops.embedding_forward(backend_->context(), ids, tokens_->value, x, false);
  if (multiplier_ != 1) ops.scale(backend_->context(), x, multiplier_, x);
  return x;
}

void Embedding::backward_weight(const Tensor& dx, const Pass& pass) {
  const Batch& batch = pass.batch;
  if (positions_ != nullptr && positions_->trained) {
    backend_->ops().embedding_backward(backend_->context(), batch.positions, dx,
                                       positions_->gradient());
  }
  backward_words(dx, batch.tokens);
}

void Embedding::backward_words(const Tensor& dx, const Tensor& ids) {
  if (!tokens_->trained) return;
  const kernels::OpTable& ops = backend_->ops();
  if (multiplier_ != 1) ops.scale(backend_->context(), dx, multiplier_, dx);
  ops.embedding_backward(backend_->context(), ids, dx, tokens_->gradient());
}

}  // namespace tera::nn
