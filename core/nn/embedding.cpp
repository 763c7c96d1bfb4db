#include "core/nn/embedding.h"

namespace tera::nn {

Embedding::Embedding(ParamStore& store, const spec::ModelConfig& config)
    : backend_(&store.backend()),
      group_(store),
      multiplier_(config.embedding_multiplier),
      tokens_(&store.get("embedding.tokens")) {
  if (store.has("embedding.positions")) positions_ = &store.get("embedding.positions");
}

Tensor Embedding::forward(const Pass& pass) const {
  Tensor x = words(pass.batch.tokens);
  if (positions_ != nullptr) {
    backend_->ops().embedding_forward(backend_->context(), own_rows(pass.batch.positions, x),
                                      positions_->value, x, true);
  }
  return x;
}

// Ids of this rank's words as rows of its part of the matrix; -1 for those of others.
Tensor Embedding::own_ids(const Tensor& ids) const {
  const std::int64_t words = tokens_->slice.shape[0];
  if (group_.size() == 1) return ids;
  const Tensor own = Tensor::empty(*backend_, {ids.dim(0)}, DType::i32, MemoryKind::workspace);
  const std::int64_t first = group_.rank() * words;
  for (std::int64_t t = 0; t < ids.dim(0); ++t) {
    const std::int64_t row = ids.data<const std::int32_t>()[t] - first;
    own.data<std::int32_t>()[t] = row >= 0 && row < words ? static_cast<std::int32_t>(row) : -1;
  }
  return own;
}

// Of ids of all tokens those of the rows of x.
Tensor Embedding::own_rows(const Tensor& ids, const Tensor& x) const {
  const std::int64_t first = group_.first_row(x.dim(0));
  return ids.slice(0, first, first + x.dim(0));
}

Tensor Embedding::words(const Tensor& ids) const {
  const Tensor x = Tensor::empty(*backend_, {ids.dim(0), tokens_->value.dim(1)},
                                 tokens_->value.dtype(), MemoryKind::workspace);
  const kernels::OpTable& ops = backend_->ops();
  ops.embedding_forward(backend_->context(), own_ids(ids), tokens_->value, x, false);
  if (multiplier_ != 1) ops.scale(backend_->context(), x, multiplier_, x);
  return group_.sum(x);
}

void Embedding::backward_weight(const Tensor& dx, const Pass& pass) {
  if (positions_ != nullptr && positions_->trained) {
    backend_->ops().embedding_backward(backend_->context(), own_rows(pass.batch.positions, dx), dx,
                                       positions_->gradient());
  }
  backward_words(dx, pass.batch.tokens);
}

void Embedding::backward_words(const Tensor& dx, const Tensor& ids) {
  if (!tokens_->trained) return;
  const kernels::OpTable& ops = backend_->ops();
  const Tensor all = group_.gather(dx);
  if (multiplier_ != 1) ops.scale(backend_->context(), all, multiplier_, all);
  ops.embedding_backward(backend_->context(), own_ids(ids), all, tokens_->gradient());
}

}  // namespace tera::nn
