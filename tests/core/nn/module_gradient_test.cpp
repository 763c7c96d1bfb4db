// Gradients of each module alone, at its input and at its parameters, against differences in f64.
#include <gtest/gtest.h>

#include "core/nn/attention.h"
#include "core/nn/latent_attention.h"
#include "core/nn/loss.h"
#include "core/nn/mlp.h"
#include "core/nn/norm.h"
#include "core/nn/transformer_layer.h"
#include "tests/core/nn/check_module.h"

namespace tera::nn::test {
namespace {

TEST(ModuleGradient, RmsNorm) {
  TinyModel tiny(llama_config());
  ResidualNorm norm(tiny.params, tiny.config, "layers.0.attention.norm", "layers.0.attention.x",
                    ResidualNorm::Output::kept);
  check_module(tiny, norm, "layers.0.attention.x", "layers.0.attention.norm");
}

TEST(ModuleGradient, LayerNorm) {
  TinyModel tiny(gpt2_config());
  ResidualNorm norm(tiny.params, tiny.config, "layers.1.ffn.norm", "layers.1.ffn.x",
                    ResidualNorm::Output::passed_on);
  check_module(tiny, norm, "layers.1.ffn.x", "layers.1.ffn.norm");
}

// Biases, norms, positions and visibility in combinations that no model of all_configs has.
TEST(ModuleGradient, Attention) {
  std::vector<spec::ModelConfig> configs = {gpt2_config(), llama_config()};
  for (const spec::QkNormKind kind : {spec::QkNormKind::per_head, spec::QkNormKind::full}) {
    for (const spec::PositionKind position :
         {spec::PositionKind::rotary, spec::PositionKind::learned}) {
      configs.push_back(llama_config());
      configs.back().qk_norm = kind;
      configs.back().position = position;
      configs.back().attention_bias = spec::AttentionBias::qkv;
    }
  }
  for (const spec::RopeScaling scaling :
       {spec::RopeScaling::linear, spec::RopeScaling::llama3, spec::RopeScaling::yarn}) {
    configs.push_back(stretched_config(scaling));
    configs.back().rotary_fraction = 0.5;
    configs.back().sliding_window = 2;
    configs.back().attention_scale = 0.9;
    configs.back().attention_softcap = 1.5;
  }
  for (const spec::ModelConfig& config : configs) {
    SCOPED_TRACE(&config - configs.data());
    TinyModel tiny(config);
    Attention attention(tiny.params, config, "layers.0.attention", "layers.0.attention.norm_out");
    for (const char* part : {"layers.0.attention.qkv", "layers.0.attention.out"})
      check_module(tiny, attention, "layers.0.attention.norm_out", part);
    if (config.qk_norm != spec::QkNormKind::none) {
      for (const char* part : {"layers.0.attention.q_norm", "layers.0.attention.k_norm"})
        check_module(tiny, attention, "layers.0.attention.norm_out", part);
    }
  }
}

TEST(ModuleGradient, LatentAttention) {
  std::vector<spec::ModelConfig> configs = {latent_config(), latent_moe_config()};
  configs.push_back(latent_config());
  configs.back().sliding_window = 2;
  configs.back().attention_softcap = 0.7;
  configs.push_back(latent_config());
  configs.back().qk_rope_head_dim = 2;
  configs.back().v_head_dim = 12;  // wider than queries and keys
  for (const spec::ModelConfig& config : configs) {
    SCOPED_TRACE(&config - configs.data());
    TinyModel tiny(config);
    LatentAttention attention(tiny.params, config, "layers.0.attention",
                              "layers.0.attention.norm_out");
    for (const char* part : {"q", "kv_down.", "kv_down_norm", "kv_up", "out"}) {
      check_module(tiny, attention, "layers.0.attention.norm_out",
                   std::string("layers.0.attention.") + part);
    }
  }
}

TEST(ModuleGradient, Mlp) {
  for (const spec::ActivationKind activation :
       {spec::ActivationKind::swiglu, spec::ActivationKind::gelu, spec::ActivationKind::relu,
        spec::ActivationKind::gelu_exact, spec::ActivationKind::relu_squared,
        spec::ActivationKind::geglu}) {
    SCOPED_TRACE(static_cast<int>(activation));
    spec::ModelConfig config = small_config();
    config.activation = activation;
    config.ffn_bias = true;
    TinyModel tiny(config);
    Mlp mlp(tiny.params, activation, "layers.0.ffn", "layers.0.ffn.norm_out");
    check_module(tiny, mlp, "layers.0.ffn.norm_out", "layers.0.ffn.in");
    check_module(tiny, mlp, "layers.0.ffn.norm_out", "layers.0.ffn.out");
  }
}

// A layer whose stream comes in two halves and leaves in one.
class WholeLayer final : public Module {
 public:
  WholeLayer(ParamStore& store, const spec::ModelConfig& config) : layer_(store, config, 1) {}
  Tensor forward(const Tensor& x, Pass& pass) override {
    const Tensor half =
        Tensor::empty(x.backend(), {x.dim(0), x.dim(1)}, x.dtype(), MemoryKind::workspace);
    x.backend().ops().scale(x.backend().context(), x, 0.5, half);
    return joined(layer_.forward({half, half}, pass));
  }
  Tensor backward_input(const Tensor& dy, Pass& pass) override {
    return layer_.backward_input(dy, pass);
  }
  void backward_weight(Pass& pass) override { layer_.backward_weight(pass); }

 private:
  TransformerLayer layer_;
};

TEST(ModuleGradient, TransformerLayer) {
  for (const NamedConfig& named : all_configs()) {
    SCOPED_TRACE(named.name);
    TinyModel tiny(named.config);
    WholeLayer layer(tiny.params, named.config);
    check_module(tiny, layer, nullptr, "layers.1.");
  }
}

TEST(ModuleGradient, LossHead) {
  for (const spec::ModelConfig& config : {gpt2_config(), llama_config(), grok_config()}) {
    TinyModel tiny(config);
    LossHead head(tiny.params, config, {});
    const Batch batch = random_batch(*tiny.backend, kBatch, kLength, config.vocab_size, 61);
    const Tensor x = random_tensor(*tiny.backend, kBatch * kLength, config.hidden_size, 62);
    Stash stash(*tiny.backend);
    Pass pass{.batch = batch, .stash = stash};
    const double loss = 0.125 * head.forward(x, {batch.targets, 0.125}, pass, true);
    const Tensor dx = head.backward_input({}, pass);
    head.backward_weight(pass);
    EXPECT_TRUE(stash.entries().empty());
    const auto evaluate = [&] {
      stash.clear();
      return 0.125 * head.forward(x, {batch.targets, 0.125}, pass, false);
    };
    EXPECT_DOUBLE_EQ(evaluate(), loss);
    tera::test::expect_gradient("input", elements(x), elements(dx), evaluate, 24);
    for (const char* name :
         {"final_norm.weight", "final_norm.bias", "head.weight", "embedding.tokens"}) {
      const bool used = std::string(name) != "embedding.tokens" || config.tie_embeddings;
      if (!used || !tiny.params.has(name)) continue;
      const Param& param = tiny.params.get(name);
      tera::test::expect_gradient(name, elements(param.value), elements(param.grad), evaluate, 12);
    }
  }
}

}  // namespace
}  // namespace tera::nn::test
