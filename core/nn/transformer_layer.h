// TransformerLayer: two residual branches, x + attention(norm(x)), then r + ffn(norm(r)), where ffn
// is a dense Mlp or a MoeLayer.
#pragma once
#include <memory>

#include "core/nn/attention.h"
#include "core/nn/moe_layer.h"
#include "core/nn/norm.h"

namespace tera::nn {

// Keeps every entry layers.N.* of the stash table. The residual stream it returns belongs to the
// next module, which keeps it.
class TransformerLayer final : public Module {
 public:
  TransformerLayer(ParamStore& store, const spec::ModelConfig& config, int layer);

  Tensor forward(const Tensor& x, Pass& pass) override;  // [T, H] -> [T, H]
  Tensor backward_input(const Tensor& dy, Pass& pass) override;
  void backward_weight(Pass& pass) override;
  Tensor forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache);

  Router* router() { return moe_ == nullptr ? nullptr : &moe_->router(); }  // null: dense

 private:
  Tensor feed_forward(const Tensor& x, Pass& pass);

  PreNorm attention_norm_;
  Attention attention_;
  PreNorm ffn_norm_;
  std::unique_ptr<Module> ffn_;
  MoeLayer* moe_ = nullptr;  // ffn_ when it is one
};

}  // namespace tera::nn
