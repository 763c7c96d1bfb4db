// Embedding: token ids to vectors, plus a table of learned positions where the model has one.
#pragma once
#include "core/nn/module.h"

namespace tera::nn {

class Embedding {
 public:
  // Parameters embedding.tokens [V, H] and, when the store has it, embedding.positions [P, H].
  explicit Embedding(ParamStore& store);

  // x [T, H], the start of the residual stream (MemoryKind::activations): the first layer keeps it.
  Tensor forward(const Pass& pass) const;
  void backward_weight(const Tensor& dx, const Pass& pass);  // ids have no gradient

 private:
  Backend* backend_;
  Param* tokens_;
  Param* positions_ = nullptr;
};

}  // namespace tera::nn
