// SequenceAttention: each query over those keys of its sequence that it sees, on this rank or
// shared out among context ranks.
// Letters: T tokens of this rank, A query heads, G key-value heads, D and Dv dims of keys and
// values.
#pragma once
#include <memory>
#include <string>

#include "core/nn/context_attention.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// Reads <prefix>.q [T, A, D], .k [T, G, D] and .v [T, G, Dv] of the stash; keeps .out and .lse.
class SequenceAttention {
 public:
  SequenceAttention(const ParamStore& store, const spec::ModelConfig& config, std::string prefix);

  Tensor forward(Pass& pass) const;  // .out [T, A, Dv]
  // d_out and gradients [T, heads, dims], rows strided.
  void backward(const kernels::View& d_out,
                const ContextAttention::Gradients& gradients,
                Pass& pass) const;
  void release(Stash& stash) const;  // all five

  // Queries [B, S, A, D] behind `cached` keys over those and their own, keys and values
  // [B, cached + S, G, D or Dv] -> out [B, S, A, Dv]. Keeps nothing.
  void forward_cached(const kernels::View& q,
                      const Tensor& keys,
                      const Tensor& values,
                      const Batch& batch,
                      const kernels::View& out) const;

 private:
  std::string prefix_;
  AttentionRule rule_;
  std::unique_ptr<ContextAttention> shared_;  // among context ranks; null: all on this one
};

}  // namespace tera::nn
