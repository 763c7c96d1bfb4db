#include "core/nn/transformer_layer.h"

#include <fmt/format.h>

namespace tera::nn {
namespace {

std::string part(int layer, const char* name) {
  return fmt::format("layers.{}.{}", layer, name);
}

// The residual stream after a branch: x + y in a new tensor, which the next norm keeps.
Tensor add_branch(const Tensor& x, const Tensor& y) {
  Tensor sum = Tensor::empty(x.backend(), {x.dim(0), x.dim(1)}, x.dtype(), MemoryKind::activations);
  x.backend().ops().add(x.backend().context(), x, y, sum);
  return sum;
}

}  // namespace

TransformerLayer::TransformerLayer(ParamStore& store, const spec::ModelConfig& config, int layer)
    : attention_norm_(store, config, part(layer, "attention")),
      attention_(store, config, part(layer, "attention")),
      ffn_norm_(store, config, part(layer, "ffn")) {
  if (config.is_moe_layer(layer)) {
    auto moe = std::make_unique<MoeLayer>(store, config, layer);
    moe_ = moe.get();
    ffn_ = std::move(moe);
  } else {
    ffn_ = std::make_unique<Mlp>(store, config.activation, part(layer, "ffn"),
                                 part(layer, "ffn.norm_out"));
  }
}

Tensor TransformerLayer::forward(const Tensor& x, Pass& pass) {
  return feed_forward(add_branch(x, attention_.forward(attention_norm_.forward(x, pass), pass)),
                      pass);
}

Tensor TransformerLayer::forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache) {
  const Tensor y = attention_.forward_cached(attention_norm_.forward(x, pass), pass, cache);
  return feed_forward(add_branch(x, y), pass);
}

Tensor TransformerLayer::feed_forward(const Tensor& x, Pass& pass) {
  return add_branch(x, ffn_->forward(ffn_norm_.forward(x, pass), pass));
}

Tensor TransformerLayer::backward_input(const Tensor& dy, Pass& pass) {
  const auto branch = [&pass](const Tensor& gradient, Module& body, PreNorm& norm) {
    Tensor dx = norm.backward_input(body.backward_input(gradient, pass), pass);
    dx.backend().ops().add(dx.backend().context(), dx, gradient, dx);
    return dx;
  };
  return branch(branch(dy, *ffn_, ffn_norm_), attention_, attention_norm_);
}

void TransformerLayer::backward_weight(Pass& pass) {
  // A norm releases its output, the input of its branch, so the branch comes first.
  ffn_->backward_weight(pass);
  ffn_norm_.backward_weight(pass);
  attention_.backward_weight(pass);
  attention_norm_.backward_weight(pass);
}

}  // namespace tera::nn
