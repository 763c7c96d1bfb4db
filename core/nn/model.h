// Model: a whole model on one rank: the chunk with everything, and decoding with a cache. Reads the
// ModelConfig; a dense GPT-2 and a Mixture-of-Experts model are the same class with different
// layers.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/nn/kv_cache.h"
#include "core/nn/model_chunk.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// What the router of one layer chose: none of them in a dense layer.
struct ExpertChoices {
  std::vector<std::int32_t> experts;  // [T, K]
  std::vector<float> gates;           // [T, K], weights of their outputs
};

struct DecodeOptions {
  KvCache::Range sequences = {};                  // that the tokens belong to, equally many to each
  bool last_only = false;                         // logits of the last token of each sequence
  std::vector<ExpertChoices>* choices = nullptr;  // filled with one per layer
};

class Model {
 public:
  // The store must hold make_param_table(config) and outlive the model.
  Model(const spec::ModelConfig& config, ParamStore& params);

  // Runs the micro-batch up to the loss; returns the sum over its targets of the token losses
  // (natural log), unscaled. Gradients of head and final norm input are computed on the way when
  // with_backward; without it nothing is kept in the stash. The losses of multi-token prediction go
  // to pass.prediction_stats.
  double forward(Pass& pass, bool with_backward) {
    return chunk_.forward({}, pass, with_backward).loss_sum;
  }
  void backward(Pass& pass) { chunk_.backward({}, pass); }  // the stash ends empty

  // For one sequence, or for several of which each has its own first slot (kv_cache.h).
  KvCache make_cache(int capacity, const std::vector<int>& begins = {0}) const;
  // Appends tokens, one sequence after the other, to the cache; returns logits [T, V] a of the new
  // positions, or [sequences, V] of the last of each. The logits of a sequence do not depend on
  // which others it is decoded with as long as a call has at most 32 tokens, or one sequence.
  Tensor decode(std::span<const std::int32_t> tokens,
                KvCache& cache,
                const DecodeOptions& options = {});

  ModelChunk& chunk() { return chunk_; }
  const spec::ModelConfig& config() const { return config_; }
  Backend& backend() const { return params_->backend(); }

 private:
  spec::ModelConfig config_;
  ParamStore* params_;
  ModelChunk chunk_;
};

}  // namespace tera::nn
