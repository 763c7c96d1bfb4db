#include "core/nn/router.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/core/nn/routed_layer.h"

namespace tera::nn::test {
namespace {

TEST(Router, RecordsCountsAndLossesByTheirDefinition) {
  for (const spec::RouterScore score : {spec::RouterScore::softmax, spec::RouterScore::sigmoid}) {
    spec::ModelConfig config = moe_config();
    config.router_score = score;
    config.z_loss_coeff = 0.5;
    RoutedLayer routed(config);
    routed.layer.forward(routed.x, routed.pass);

    std::vector<std::int64_t> counts(5);
    std::vector<double> shares(5);
    double squares = 0;
    for (int t = 0; t < RoutedLayer::kTokens; ++t) {
      for (int k = 0; k < 2; ++k)
        ++counts[static_cast<std::size_t>(routed.kept("indices").data<std::int32_t>()[2 * t + k])];
      const double* s = routed.kept("scores").data<double>() + 5 * t;
      const double total = s[0] + s[1] + s[2] + s[3] + s[4];
      for (std::size_t e = 0; e < 5; ++e)
        shares[e] += s[e] / total / RoutedLayer::kTokens;
      const double lse = routed.kept("logsumexp").data<double>()[t];
      squares += lse * lse;
    }
    double balance = 0;
    for (std::size_t e = 0; e < 5; ++e)
      balance += static_cast<double>(counts[e]) / (2.0 * RoutedLayer::kTokens) * shares[e];
    EXPECT_EQ(routed.stats[1].expert_tokens, counts);
    EXPECT_TRUE(routed.stats[0].expert_tokens.empty());
    EXPECT_NEAR(routed.stats[1].balance_loss, 0.25 * 0.02 * 5 * balance, 1e-15);
    EXPECT_NEAR(routed.stats[1].z_loss, 0.25 * config.z_loss_coeff * squares / RoutedLayer::kTokens,
                1e-14);

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
  for (int t = 0; t < RoutedLayer::kTokens; ++t) {
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
  for (int t = 0; t < RoutedLayer::kTokens; ++t) {
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
  EXPECT_EQ(routed.stats[1].expert_tokens,
            (std::vector<std::int64_t>{RoutedLayer::kTokens, 0, 0, RoutedLayer::kTokens, 0}));
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
  tiny.model.chunk().update_expert_bias({{}, {10, 0, 4, 4, 2}});  // mean 4: signs -1 +1 0 0 +1
  const std::vector<double> moved = {-0.01, 0.11, 0.2, 0.3, 0.41};
  const double mean = (-0.01 + 0.11 + 0.2 + 0.3 + 0.41) / 5;
  for (std::size_t e = 0; e < 5; ++e)
    EXPECT_NEAR(bias.data<double>()[e], moved[e] - mean, 1e-15);
  EXPECT_THROW(tiny.model.chunk().update_expert_bias({{}, {1, 2}}), ContractError);

  TinyModel without(moe_config());
  without.model.chunk().update_expert_bias({{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}});  // nothing to update
}

// The noise of a token depends on its place in the global batch, not on how the batch is cut.
TEST(Router, JitterIsAFunctionOfTheTokensPlace) {
  spec::ModelConfig config = moe_config();
  config.router_jitter = 0.25;
  const auto noise_of = [&](TrainingPlace place) {
    RoutedLayer routed(config);
    routed.pass.training = place;
    routed.layer.forward(routed.x, routed.pass);
    const Tensor& noise = routed.kept("noise");
    return std::vector<double>(noise.data<double>(), noise.data<double>() + noise.num_elements());
  };
  const TrainingPlace place{.seed = 5, .step = 2, .first_sequence = 7};
  const std::vector<double> noise = noise_of(place);
  ASSERT_EQ(noise.size(), 9U * 12U);
  double mean = 0;
  for (const double n : noise) {
    EXPECT_GE(n, 0.75);
    EXPECT_LE(n, 1.25);
    mean += n / static_cast<double>(noise.size());
  }
  EXPECT_NEAR(mean, 1.0, 4 * 0.25 / std::sqrt(3.0 * 108));  // four standard errors
  EXPECT_EQ(noise_of(place), noise);
  EXPECT_NE(noise_of({.seed = 6, .step = 2, .first_sequence = 7}), noise);
  EXPECT_NE(noise_of({.seed = 5, .step = 3, .first_sequence = 7}), noise);
  EXPECT_NE(noise_of({.seed = 5, .step = 2, .first_sequence = 8}), noise);

  // Two sequences of 9 tokens at places 6 and 7: the second has the noise of the one at place 7.
  RoutedLayer both(config, 2);
  both.pass.training = {.seed = 5, .step = 2, .first_sequence = 6};
  both.layer.forward(both.x, both.pass);
  const double* second = both.kept("noise").data<double>() + 9 * 12;
  EXPECT_EQ(std::vector<double>(second, second + 9 * 12), noise);
}

TEST(Router, JitterIsOnlyInTraining) {
  spec::ModelConfig config = moe_config();
  RoutedLayer without(config);
  const Tensor expected = without.layer.forward(without.x, without.pass);
  config.router_jitter = 0.25;
  RoutedLayer evaluated(config);
  const Tensor got = evaluated.layer.forward(evaluated.x, evaluated.pass);
  EXPECT_FALSE(evaluated.stash.has("layers.1.moe.noise"));
  for (std::int64_t i = 0; i < got.num_elements(); ++i)
    ASSERT_EQ(got.data<double>()[i], expected.data<double>()[i]);
}

TEST(Router, ChoosesWithinItsBestGroups) {
  RoutedLayer routed(grouped_moe_config());  // 6 experts, the 2 best of 3 groups
  routed.layer.forward(routed.x, routed.pass);
  const double* bias = routed.tiny.params.get("layers.1.moe.router.bias").value.data<double>();
  for (int t = 0; t < RoutedLayer::kTokens; ++t) {
    const double* s = routed.kept("scores").data<double>() + 6 * t;
    std::vector<double> groups;
    for (int g = 0; g < 3; ++g)
      groups.push_back(s[2 * g] + bias[2 * g] + s[2 * g + 1] + bias[2 * g + 1]);
    const auto worst = std::min_element(groups.begin(), groups.end()) - groups.begin();
    for (int k = 0; k < 2; ++k)
      EXPECT_NE(routed.kept("indices").data<std::int32_t>()[2 * t + k] / 2, worst) << t;
  }
}

}  // namespace
}  // namespace tera::nn::test
