#include "core/nn/router.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/nn/moe_layer.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

constexpr int kTokens = 9;

// A MoE layer in f64 with an input, ready for forward.
struct RoutedLayer {
  explicit RoutedLayer(const spec::ModelConfig& config)
      : tiny(config),
        layer(tiny.params, config, 1, "layers.1.ffn.norm_out"),
        batch(random_batch(*tiny.backend, 1, kTokens, config.vocab_size, 71)),
        x(Tensor::empty(
            *tiny.backend, {kTokens, config.hidden_size}, DType::f64, MemoryKind::workspace)),
        stash(*tiny.backend),
        stats(2),
        pass{.batch = batch, .stash = stash, .batch_share = 0.25, .router_stats = &stats} {
    const Philox random(72, RngPurpose::test);
    for (std::int64_t i = 0; i < x.num_elements(); ++i)
      x.data<double>()[i] = random.normal2(0, static_cast<std::uint64_t>(i))[0];
  }

  const Tensor& kept(const char* name) { return stash.get(std::string("layers.1.moe.") + name); }

  TinyModel tiny;
  MoeLayer layer;
  Batch batch;
  Tensor x;
  Stash stash;
  std::vector<RouterStats> stats;
  Pass pass;
};

TEST(Router, RecordsCountsAndLossesByTheirDefinition) {
  for (const spec::RouterScore score : {spec::RouterScore::softmax, spec::RouterScore::sigmoid}) {
    spec::ModelConfig config = moe_config();
    config.router_score = score;
    config.z_loss_coeff = score == spec::RouterScore::softmax ? 0.5 : 0;
    RoutedLayer routed(config);
    routed.layer.forward(routed.x, routed.pass);

    std::vector<std::int64_t> counts(5);
    std::vector<double> shares(5);
    double squares = 0;
    for (int t = 0; t < kTokens; ++t) {
      for (int k = 0; k < 2; ++k)
        ++counts[static_cast<std::size_t>(routed.kept("indices").data<std::int32_t>()[2 * t + k])];
      const double* s = routed.kept("scores").data<double>() + 5 * t;
      const double total = s[0] + s[1] + s[2] + s[3] + s[4];
      for (std::size_t e = 0; e < 5; ++e)
        shares[e] += s[e] / total / kTokens;
      if (score == spec::RouterScore::softmax) {
        const double lse = routed.kept("logsumexp").data<double>()[t];
        squares += lse * lse;
      }
    }
    double balance = 0;
    for (std::size_t e = 0; e < 5; ++e)
      balance += static_cast<double>(counts[e]) / (2.0 * kTokens) * shares[e];
    EXPECT_EQ(routed.stats[1].expert_tokens, counts);
    EXPECT_TRUE(routed.stats[0].expert_tokens.empty());
    EXPECT_NEAR(routed.stats[1].balance_loss, 0.25 * 0.02 * 5 * balance, 1e-15);
    EXPECT_NEAR(routed.stats[1].z_loss, 0.25 * config.z_loss_coeff * squares / kTokens, 1e-14);

    routed.stash.clear();
    routed.layer.forward(routed.x, routed.pass);  // a second micro-batch adds up
    EXPECT_EQ(routed.stats[1].expert_tokens[0], 2 * counts[0]);
    EXPECT_NEAR(routed.stats[1].balance_loss, 2 * 0.25 * 0.02 * 5 * balance, 1e-15);
  }
}

TEST(Router, RenormalisedGatesAddUpToTheScalingFactor) {
  spec::ModelConfig config = moe_config();
  config.router_renormalize = true;
  config.routed_scaling_factor = 2.5;
  RoutedLayer routed(config);
  routed.layer.forward(routed.x, routed.pass);
  for (int t = 0; t < kTokens; ++t) {
    const double* gates = routed.kept("gates").data<double>() + 2 * t;
    EXPECT_NEAR(gates[0] + gates[1], 2.5, 1e-12);
    EXPECT_GE(gates[0], gates[1]);
  }
}

TEST(Router, BiasDecidesTheChoiceAndNotTheWeight) {
  spec::ModelConfig config = sigmoid_moe_config();
  config.router_renormalize = false;
  RoutedLayer routed(config);
  Tensor& bias = routed.tiny.params.get("layers.1.moe.router.bias").value;
  for (int e = 0; e < 5; ++e)
    bias.data<double>()[e] = e == 3 ? 10.0 : 0.0;
  routed.layer.forward(routed.x, routed.pass);
  for (int t = 0; t < kTokens; ++t) {
    EXPECT_EQ(routed.kept("indices").data<std::int32_t>()[2 * t], 3);
    EXPECT_DOUBLE_EQ(routed.kept("gates").data<double>()[2 * t],
                     1.7 * routed.kept("scores").data<double>()[5 * t + 3]);
  }
}

// Starved experts: every token takes experts 3 and 0, nobody 1, 2 and 4.
TEST(Router, ExpertsWithoutTokensHaveNoGradient) {
  RoutedLayer routed(sigmoid_moe_config());
  Tensor& bias = routed.tiny.params.get("layers.1.moe.router.bias").value;
  for (int e = 0; e < 5; ++e)
    bias.data<double>()[e] = e == 3 ? 20.0 : e == 0 ? 10.0 : 0.0;
  const Tensor y = routed.layer.forward(routed.x, routed.pass);
  EXPECT_EQ(routed.stats[1].expert_tokens, (std::vector<std::int64_t>{kTokens, 0, 0, kTokens, 0}));
  routed.stash.keep("layers.1.ffn.norm_out", routed.x);
  routed.tiny.params.zero_grads();
  routed.layer.backward_input(y, routed.pass);
  routed.layer.backward_weight(routed.pass);
  const Tensor& grad = routed.tiny.params.get("layers.1.moe.experts.in.weight").grad;  // [E, 2F, H]
  for (std::int64_t e = 0; e < 5; ++e) {
    double squares = 0;
    for (std::int64_t i = 0; i < grad.dim(1) * grad.dim(2); ++i) {
      const double g = grad.data<double>()[e * grad.dim(1) * grad.dim(2) + i];
      squares += g * g;
    }
    EXPECT_EQ(squares > 0, e == 0 || e == 3) << "expert " << e;
  }
}

TEST(Router, UpdatesItsBiasTowardsTheStarved) {
  TinyModel tiny(sigmoid_moe_config());  // rate 0.01, layer 0 is dense
  Tensor& bias = tiny.params.get("layers.1.moe.router.bias").value;
  for (int e = 0; e < 5; ++e)
    bias.data<double>()[e] = 0.1 * e;
  tiny.model.update_expert_bias({{}, {10, 0, 4, 4, 2}});  // mean 4: signs -1 +1 0 0 +1
  const std::vector<double> moved = {-0.01, 0.11, 0.2, 0.3, 0.41};
  const double mean = (-0.01 + 0.11 + 0.2 + 0.3 + 0.41) / 5;
  for (std::size_t e = 0; e < 5; ++e)
    EXPECT_NEAR(bias.data<double>()[e], moved[e] - mean, 1e-15);
  EXPECT_THROW(tiny.model.update_expert_bias({{}, {1, 2}}), ContractError);

  TinyModel without(moe_config());
  without.model.update_expert_bias({{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}});  // nothing to update
}

TEST(Router, RefusesAZLossOnASigmoid) {
  spec::ModelConfig config = sigmoid_moe_config();
  config.z_loss_coeff = 0.1;
  EXPECT_THROW(TinyModel{config}, ContractError);
}

}  // namespace
}  // namespace tera::nn::test
