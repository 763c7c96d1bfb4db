// LossHead: final norm, output head and cross entropy, in chunks of plan::kLogitsChunkTokens: the
// logits [T, V] are never held whole (50,257 words x 8,192 tokens would be 1.6 GB). The gradient at
// the norm's output and the head's weight gradient are computed with the loss, while a chunk's
// logits are at hand.
#pragma once
#include "core/nn/module.h"
#include "core/nn/norm.h"

namespace tera::nn {

// Keeps head.x [T, H] (the residual stream), head.norm_rstd (and _mean) [T] and, with backward,
// head.dx [T, H].
class LossHead {
 public:
  // Parameters final_norm and head.weight [V, H], or embedding.tokens when tied.
  LossHead(ParamStore& store, const spec::ModelConfig& config);

  // Sum of the token losses, natural log. With backward, adds to the head's weight gradient, scaled
  // by Pass::loss_scale.
  double forward(const Tensor& x, Pass& pass, bool with_backward);
  Tensor backward_input(Pass& pass);  // gradient at x [T, H]
  void backward_weight(Pass& pass);   // of the norm; releases what was kept

  Tensor logits(const Tensor& x) const;  // x [n, H] -> [n, V] a; nothing is kept

 private:
  // One chunk of tokens, [n, ...] each.
  struct Chunk {
    Tensor x;  // input of the norm
    Norm::Statistics statistics;
    Tensor normalised;  // output of the norm
    Tensor logits;      // a; becomes their gradient
    Tensor gradient;    // of the logits in c; is `logits` when c = a
  };
  Norm::Statistics kept_statistics(const Stash& stash) const;
  void chunk_logits(const Chunk& chunk) const;
  void chunk_backward(const Chunk& chunk, const Tensor& dx);

  Backend* backend_;
  double multiplier_;  // of the logits, applied to the product's input
  Norm norm_;
  Param* weight_;
};

}  // namespace tera::nn
