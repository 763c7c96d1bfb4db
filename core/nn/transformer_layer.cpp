#include "core/nn/transformer_layer.h"

#include <utility>

#include <fmt/format.h>

#include "core/nn/attention.h"
#include "core/nn/latent_attention.h"

namespace tera::nn {
namespace {

std::string part(int layer, const char* name) {
  return fmt::format("layers.{}.{}", layer, name);
}

std::unique_ptr<AttentionModule> make_attention(ParamStore& store,
                                                const spec::ModelConfig& config,
                                                int layer,
                                                const std::string& branch_input) {
  const std::string input = TensorParallel::part_input(store, branch_input);
  if (config.attention == spec::AttentionKind::latent)
    return std::make_unique<LatentAttention>(store, config, part(layer, "attention"), input);
  return std::make_unique<Attention>(store, config, part(layer, "attention"), input);
}

}  // namespace

TransformerLayer::TransformerLayer(ParamStore& store, const spec::ModelConfig& config, int layer)
    : layer_(layer),
      parallel_(config.parallel_residual),
      attention_branch_(store, config, part(layer, "attention"), part(layer, "attention.x")),
      attention_(make_attention(store, config, layer, attention_branch_.body_input())),
      attention_part_(store, *attention_, attention_branch_.body_input()),
      ffn_branch_(
          store, config, part(layer, "ffn"), part(layer, parallel_ ? "attention.x" : "ffn.x")) {
  if (config.is_moe_layer(layer)) {
    auto moe = std::make_unique<MoeLayer>(store, config, layer, ffn_branch_.body_input());
    moe_ = moe.get();
    ffn_ = std::move(moe);
  } else {
    const std::string input = TensorParallel::part_input(store, ffn_branch_.body_input());
    mlp_ = std::make_unique<Mlp>(store, config.activation, part(layer, "ffn"), input);
    ffn_ = std::make_unique<TensorParallel>(store, *mlp_, ffn_branch_.body_input());
  }
}

ResidualStream TransformerLayer::forward(ResidualStream stream, Pass& pass) {
  if (pass.recompute != spec::RecomputeKind::full) return run(std::move(stream), pass);
  const Stash::Passing passing(pass.stash);
  ResidualStream y = run(std::move(stream), pass);
  forget(pass.stash);
  return y;
}

// What a second forward needs stays.
void TransformerLayer::forget(Stash& stash) const {
  const std::string input = part(layer_, "attention.x");
  stash.get(input).count_as(MemoryKind::activations);
  for (const char* branch : {"attention.", "ffn.", "moe."}) {
    stash.release_all(part(layer_, branch), [&](std::string_view entry) {
      return entry == input || (moe_ != nullptr && moe_->router().keeps(entry));
    });
  }
}

ResidualStream TransformerLayer::run(ResidualStream stream, Pass& pass) {
  const auto attend = [&](const Tensor& h) { return attention_part_.forward(h, pass); };
  return feed_forward(attention_branch_.forward(std::move(stream), pass, attend), pass);
}

ResidualStream TransformerLayer::forward_cached(ResidualStream stream,
                                                Pass& pass,
                                                const LayerCache& cache) {
  const auto attend = [&](const Tensor& h) { return attention_->forward_cached(h, pass, cache); };
  return feed_forward(attention_branch_.forward(std::move(stream), pass, attend), pass);
}

ResidualStream TransformerLayer::feed_forward(ResidualStream attended, Pass& pass) {
  const auto body = [&](const Tensor& h) { return ffn_->forward(h, pass); };
  if (!parallel_) return ffn_branch_.forward(std::move(attended), pass, body);
  ResidualStream x{attended.x, {}};
  Tensor sum = joined(std::move(attended));
  return {std::move(sum), ffn_branch_.forward(std::move(x), pass, body).branch};
}

Tensor TransformerLayer::backward_input(const Tensor& dy, Pass& pass) {
  if (pass.recompute == spec::RecomputeKind::full) {
    const Stash::Passing passing(pass.stash);
    Pass again = pass;
    again.router_stats = nullptr;  // counted by the first forward
    run({pass.stash.take(part(layer_, "attention.x")), {}}, again);
  }
  const Tensor d_sum = ffn_branch_.backward_input(dy, dy, pass, *ffn_);
  return attention_branch_.backward_input(parallel_ ? dy : d_sum, d_sum, pass, attention_part_);
}

void TransformerLayer::backward_weight(Pass& pass) {
  ffn_branch_.backward_weight(pass, *ffn_);  // first: it may read what the other branch releases
  attention_branch_.backward_weight(pass, attention_part_);
}

}  // namespace tera::nn
