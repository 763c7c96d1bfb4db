// Attention: causal grouped-query attention with optional query-key norm, rotary positions and
// sliding window.
// Letters: A query heads, G key-value heads, D head dim, W = (A + 2 G) D.
#pragma once
#include <optional>
#include <string>

#include "core/nn/attention_module.h"
#include "core/nn/head_norm.h"
#include "core/nn/linear.h"
#include "core/nn/rotary.h"
#include "core/nn/sequence_attention.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Keeps <prefix>.q, .k, .v, .out, .lse (and .q_raw, .k_raw, .q_rstd, .k_rstd with query-key norm);
// reads `input`, the stash entry that holds its input, in backward_weight.
class Attention final : public AttentionModule {
 public:
  // prefix: "layers.3.attention"; parameters <prefix>.qkv, .out, .q_norm, .k_norm.
  Attention(ParamStore& store,
            const spec::ModelConfig& config,
            std::string prefix,
            std::string input);

  Tensor forward(const Tensor& x, Pass& pass) override;  // [T, H] -> [T, H]
  Tensor backward_input(const Tensor& dy, Pass& pass) override;
  void backward_weight(Pass& pass) override;
  LayerCache make_cache(int sequences, int capacity) const override;
  Tensor forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache) override;

 private:
  // The part of queries (or keys) that is normalised and rotated.
  struct Heads {
    const char* name;    // ".q" or ".k"
    std::int64_t count;  // A or G
    std::int64_t first;  // column in the qkv product
    std::optional<HeadNorm> norm;
  };
  void project(const Tensor& x, Pass& pass) const;
  void project_heads(const Tensor& qkv, const Heads& heads, Pass& pass) const;
  void backward_heads(const Tensor& d_qkv, const Heads& heads, Pass& pass) const;

  std::string prefix_;
  std::string input_;
  std::int64_t head_dim_;
  std::int64_t value_heads_;
  Rotary rotary_;
  SequenceAttention attention_;
  Linear qkv_;
  Linear out_;
  Heads queries_;
  Heads keys_;
};

}  // namespace tera::nn
