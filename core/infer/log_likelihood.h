// How likely a model holds texts to be: what all evaluations are made of.
//
// The numbers depend on (weights, context, continuations) alone: the continuations of one context
// are a batch of their own, behind a context that goes through the model once, and nothing else is
// computed with them.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/nn/model.h"

namespace tera::infer {

struct Likelihood {
  double logprob = 0;   // natural log, summed over the tokens
  bool greedy = false;  // each token is the most likely one, the lowest id of equals
};

class LikelihoodScorer {
 public:
  // vocabulary: ids of the tokenizer; rows of the model beyond it are padding without probability.
  LikelihoodScorer(nn::Model& model, std::int32_t vocabulary)
      : model_(&model), vocabulary_(vocabulary) {}

  // Tokens that one pass reads at most.
  int max_length() const { return model_->config().max_position_embeddings; }

  // Of each continuation (not empty) after the context (not empty). When both together are longer
  // than max_length() + 1 tokens, the first ones are dropped: at least the token before the last
  // max_length() remains.
  std::vector<Likelihood> score(std::span<const std::int32_t> context,
                                std::span<const std::vector<std::int32_t>> continuations);

 private:
  using Tokens = std::span<const std::int32_t>;
  Likelihood score_one(Tokens context, const std::vector<std::int32_t>& continuation);
  void score_together(Tokens context,
                      std::span<const std::vector<std::int32_t>* const> continuations,
                      std::span<Likelihood> scores);
  void add(const Tensor& logits,
           std::span<const std::int32_t> targets,
           std::int64_t rows_per_score,
           std::span<Likelihood> scores);

  nn::Model* model_;
  std::int32_t vocabulary_;
};

}  // namespace tera::infer
