// LossHead: final norm, output head and cross entropy, in chunks of plan::kLogitsChunkTokens: the
// logits [T, V] are never held whole (50,257 words x 8,192 tokens would be 1.6 GB). The gradient at
// the norm's output and the head's weight gradient are computed with the loss, while a chunk's
// logits are at hand.
#pragma once
#include <string>

#include "core/nn/adapters.h"
#include "core/nn/module.h"
#include "core/nn/norm.h"
#include "core/nn/tensor_parallel.h"

namespace tera::nn {

// Keeps <entries>.x [T, H] (the residual stream), .norm_rstd (and _mean) [T] and, with backward,
// .dx [T, H]; when another layer reads on, .norm_out [T, H].
class LossHead {
 public:
  struct Place {
    std::string norm = "final_norm";  // its parameter
    std::string entries = "head";
    bool read_on = false;
  };
  // Parameters of the norm and head.weight [V, H], or embedding.tokens when tied.
  LossHead(ParamStore& store, const spec::ModelConfig& config, Place place);

  struct Loss {
    Tensor targets;    // [T] i32
    double scale = 1;  // of the gradient of each token's loss
  };
  // x [T, H], of this rank's tokens where tensor ranks split them. Sum of the losses of all tokens,
  // natural log, unscaled. With backward, adds to the head's weight gradient.
  double forward(const Tensor& x, const Loss& loss, Pass& pass, bool with_backward);
  // Gradient at x [T, H]. d_norm_out [T, H] of the layer that read on, or absent.
  Tensor backward_input(const Tensor& d_norm_out, Pass& pass);
  void backward_weight(Pass& pass);  // of the norm; releases what was kept

  Tensor logits(const Tensor& x) const;  // x [n, H] -> [n, V] a; nothing is kept

 private:
  struct NormInput {
    Tensor x;  // [T, H]
    Norm::Statistics statistics;
  };
  double run_chunks(const NormInput& input,
                    const Tensor& norm_out,
                    const Loss& loss,
                    const Tensor& dx);
  // One chunk of tokens, [n, ...] each.
  struct Chunk {
    Tensor normalised;  // output of the norm
    Tensor scaled;      // input of the product; is `normalised` without a multiplier
    Tensor logits;      // a; becomes their gradient
    Tensor gradient;    // of the logits in c; is `logits` when c = a
  };
  Norm::Statistics kept_statistics(const Stash& stash) const;
  void chunk_logits(const Chunk& chunk) const;
  void hide_padding(const Tensor& logits) const;
  void chunk_backward(const Chunk& chunk, const Tensor& dx);

  Place place_;
  Backend* backend_;
  TensorGroup group_;
  double multiplier_;  // of the logits, applied to the product's input
  Norm norm_;
  Param* weight_;
  Adapters adapters_;
};

}  // namespace tera::nn
