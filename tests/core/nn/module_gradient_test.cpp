// Gradients of each module alone, at its input and at its parameters, against differences in f64.
// The loss of a module is <c, y> for a random c, plus the auxiliary losses it records.
#include <gtest/gtest.h>

#include "core/nn/attention.h"
#include "core/nn/loss.h"
#include "core/nn/mlp.h"
#include "core/nn/moe_layer.h"
#include "core/nn/norm.h"
#include "core/nn/transformer_layer.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/gradcheck.h"

namespace tera::nn::test {
namespace {

constexpr int kBatch = 2;
constexpr int kLength = 6;

Tensor random_tensor(Backend& backend, std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Tensor t = Tensor::empty(backend, {rows, cols}, DType::f64, MemoryKind::workspace);
  const Philox random(seed, RngPurpose::test);
  for (std::int64_t i = 0; i < t.num_elements(); ++i)
    t.data<double>()[i] = random.normal2(0, static_cast<std::uint64_t>(i))[0];
  return t;
}

std::span<double> elements(const Tensor& t) {
  return {t.data<double>(), static_cast<std::size_t>(t.num_elements())};
}

// Checks a module that reads its input in backward_weight from the stash entry `input` (nullptr:
// it keeps its own), and the gradients of all parameters whose name starts with `prefix`.
void check_module(TinyModel& tiny, Module& module, const char* input, const std::string& prefix) {
  Backend& backend = *tiny.backend;
  const std::int64_t tokens = kBatch * kLength;
  const Batch batch = random_batch(backend, kBatch, kLength, tiny.config.vocab_size, 51);
  const Tensor x = random_tensor(backend, tokens, tiny.config.hidden_size, 52);
  const Tensor c = random_tensor(backend, tokens, tiny.config.hidden_size, 53);
  Stash stash(backend);
  std::vector<RouterStats> stats;
  Pass pass{.batch = batch, .stash = stash, .batch_share = 0.7, .router_stats = &stats};
  const auto loss = [&] {
    stats.assign(static_cast<std::size_t>(tiny.config.num_layers), {});
    stash.clear();
    const Tensor y = module.forward(x, pass);
    double sum = TinyModel::auxiliary(stats);
    for (std::int64_t i = 0; i < y.num_elements(); ++i)
      sum += c.data<double>()[i] * y.data<double>()[i];
    return sum;
  };
  loss();
  if (input != nullptr) stash.keep(input, x);
  tiny.params.zero_grads();
  const Tensor dx = module.backward_input(c, pass);
  module.backward_weight(pass);
  if (input != nullptr) stash.release(input);
  EXPECT_TRUE(stash.entries().empty()) << stash.entries().begin()->first << " was not released";

  tera::test::expect_gradient("input", elements(x), elements(dx), loss, 24);
  int checked = 0;
  for (const Param& param : tiny.params.params()) {
    if (param.spec.name.rfind(prefix, 0) != 0 || !param.spec.trainable) continue;
    tera::test::expect_gradient(param.spec.name, elements(param.value), elements(param.grad), loss,
                                12);
    ++checked;
  }
  EXPECT_GT(checked, 0) << "no parameter starts with " << prefix;
}

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

TEST(ModuleGradient, MoeLayer) {
  for (const NamedConfig& named : all_configs()) {
    if (named.config.num_experts == 0) continue;
    SCOPED_TRACE(named.name);
    TinyModel tiny(named.config);
    MoeLayer moe(tiny.params, named.config, 1, "layers.1.ffn.norm_out");
    check_module(tiny, moe, "layers.1.ffn.norm_out", "layers.1.moe");
  }
}

// Strong auxiliary losses, so that nothing hides behind the gradient of the output.
TEST(ModuleGradient, AuxiliaryLossesOfTheRouter) {
  for (const spec::RouterScore score : {spec::RouterScore::softmax, spec::RouterScore::sigmoid}) {
    for (const bool renormalize : {false, true}) {
      spec::ModelConfig config = moe_config();
      config.router_score = score;
      config.router_renormalize = renormalize;
      config.aux_loss_coeff = 30;
      config.z_loss_coeff = score == spec::RouterScore::softmax ? 10 : 0;
      TinyModel tiny(config);
      MoeLayer moe(tiny.params, config, 0, "layers.0.ffn.norm_out");
      check_module(tiny, moe, "layers.0.ffn.norm_out", "layers.0.moe.router");
    }
  }
}

TEST(ModuleGradient, TransformerLayer) {
  for (const NamedConfig& named : all_configs()) {
    SCOPED_TRACE(named.name);
    TinyModel tiny(named.config);
    TransformerLayer layer(tiny.params, named.config, 1);
    check_module(tiny, layer, nullptr, "layers.1.");
  }
}

TEST(ModuleGradient, LossHead) {
  for (const spec::ModelConfig& config : {gpt2_config(), llama_config(), grok_config()}) {
    TinyModel tiny(config);
    LossHead head(tiny.params, config);
    const Batch batch = random_batch(*tiny.backend, kBatch, kLength, config.vocab_size, 61);
    const Tensor x = random_tensor(*tiny.backend, kBatch * kLength, config.hidden_size, 62);
    Stash stash(*tiny.backend);
    Pass pass{.batch = batch, .stash = stash, .loss_scale = 0.125};
    const double loss = 0.125 * head.forward(x, pass, true);
    const Tensor dx = head.backward_input(pass);
    head.backward_weight(pass);
    EXPECT_TRUE(stash.entries().empty());
    const auto evaluate = [&] {
      stash.clear();
      return 0.125 * head.forward(x, pass, false);
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
