// Embedding: token ids to vectors times the model's embedding_multiplier, plus a table of learned
// positions where the model has one.
#pragma once
#include "core/nn/module.h"
#include "core/nn/tensor_parallel.h"
#include "core/spec/model_config.h"

namespace tera::nn {

class Embedding {
 public:
  // Parameters embedding.tokens [V, H] and, when the store has it, embedding.positions [P, H].
  Embedding(ParamStore& store, const spec::ModelConfig& config);

  // x [T, H], the start of the residual stream: the first layer keeps it.
  Tensor forward(const Pass& pass) const;
  // dx [T, H]; ids have no gradient; dx is used up.
  void backward_weight(const Tensor& dx, const Pass& pass);

  // Tokens ids [T] without positions, and back; as above. Where tensor ranks split the tokens, x
  // and dx are this rank's rows.
  Tensor words(const Tensor& ids) const;
  void backward_words(const Tensor& dx, const Tensor& ids);

 private:
  Tensor own_ids(const Tensor& ids) const;
  Tensor own_rows(const Tensor& ids, const Tensor& x) const;

  Backend* backend_;
  TensorGroup group_;
  double multiplier_;
  Param* tokens_;
  Param* positions_ = nullptr;
};

}  // namespace tera::nn
