// TransformerLayer: two residual branches, attention (Attention or LatentAttention) and
// feed-forward (a dense Mlp or a MoeLayer): r = x + attention(x), y = r + ffn(r), or with parallel
// residual y = x + attention(x) + ffn(x).
#pragma once
#include <memory>
#include <string>

#include "core/nn/attention_module.h"
#include "core/nn/mlp.h"
#include "core/nn/moe_layer.h"
#include "core/nn/residual_branch.h"
#include "core/nn/tensor_parallel.h"

namespace tera::nn {

// Keeps every entry layers.N.* of the stash table; with full recompute backward starts with a
// second forward, for which attention.x and the router's entries stay. The residual stream it
// returns belongs to the next module, which adds it up and keeps it.
class TransformerLayer {
 public:
  TransformerLayer(ParamStore& store, const spec::ModelConfig& config, int layer);

  ResidualStream forward(ResidualStream stream, Pass& pass);
  Tensor backward_input(const Tensor& dy, Pass& pass);  // both halves as of a Module
  void backward_weight(Pass& pass);
  LayerCache make_cache(int sequences, int capacity) const {
    return attention_->make_cache(sequences, capacity);
  }
  ResidualStream forward_cached(ResidualStream stream, Pass& pass, const LayerCache& cache);

  Router* router() { return moe_ == nullptr ? nullptr : &moe_->router(); }  // null: dense

 private:
  ResidualStream run(ResidualStream stream, Pass& pass);
  ResidualStream feed_forward(ResidualStream attended, Pass& pass);
  void forget(Stash& stash) const;

  int layer_;
  bool parallel_;
  ResidualBranch attention_branch_;
  std::unique_ptr<AttentionModule> attention_;
  TensorParallel attention_part_;
  ResidualBranch ffn_branch_;
  std::unique_ptr<Mlp> mlp_;     // dense
  std::unique_ptr<Module> ffn_;  // mlp_ of all ranks, or a MoeLayer
  MoeLayer* moe_ = nullptr;      // ffn_ when it is one
};

}  // namespace tera::nn
