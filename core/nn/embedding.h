// Embedding: token ids to vectors times the model's embedding_multiplier, plus a table of learned
// positions where the model has one.
#pragma once
#include "core/nn/module.h"
#include "core/spec/model_config.h"

namespace tera::nn {

class Embedding {
 public:
  // Parameters embedding.tokens [V, H] and, when the store has it, embedding.positions [P, H].
  Embedding(ParamStore& store, const spec::ModelConfig& config);

  // x [T, H], the start of the residual stream: the first layer keeps it.
  Tensor forward(const Pass& pass) const;
  // ids have no gradient; dx is used up.
  void backward_weight(const Tensor& dx, const Pass& pass);

  // Tokens ids [T] without positions, and back; as above.
  Tensor words(const Tensor& ids) const;
  void backward_words(const Tensor& dx, const Tensor& ids);

 private:
  Backend* backend_;
  double multiplier_;
  Param* tokens_;
  Param* positions_ = nullptr;
};

}  // namespace tera::nn
