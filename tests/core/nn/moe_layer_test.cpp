#include "core/nn/moe_layer.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "tests/core/nn/routed_layer.h"

namespace tera::nn::test {
namespace {

constexpr int kTokens = RoutedLayer::kTokens;
constexpr std::int64_t kHidden = 12;

std::vector<double> row_of(const Tensor& y, std::int64_t t) {
  return {y.data<double>() + t * kHidden, y.data<double>() + (t + 1) * kHidden};
}

double norm_of(const Tensor& y, std::int64_t t) {
  double squares = 0;
  for (const double value : row_of(y, t))
    squares += value * value;
  return std::sqrt(squares);
}

// Output of expert e for token t without its gate, from the parameters.
std::vector<double> expert_output(RoutedLayer& routed, std::int64_t e, std::int64_t t) {
  ParamStore& params = routed.tiny.params;
  const Tensor& in = params.get("layers.1.moe.experts.in.weight").value;    // [E, 2F, H]
  const Tensor& out = params.get("layers.1.moe.experts.out.weight").value;  // [E, H, F]
  const std::int64_t width = out.dim(2);
  const double* x = routed.x.data<double>() + t * kHidden;
  std::vector<double> y(kHidden);
  for (std::int64_t f = 0; f < width; ++f) {
    double gate = 0;
    double up = 0;
    for (std::int64_t h = 0; h < kHidden; ++h) {
      gate += in.data<double>()[(e * 2 * width + f) * kHidden + h] * x[h];
      up += in.data<double>()[(e * 2 * width + width + f) * kHidden + h] * x[h];
    }
    const double act = gate / (1 + std::exp(-gate)) * up;
    for (std::int64_t h = 0; h < kHidden; ++h)
      y[static_cast<std::size_t>(h)] += act * out.data<double>()[(e * kHidden + h) * width + f];
  }
  return y;
}

void expect_row(const Tensor& y, std::int64_t t, const std::vector<double>& expected) {
  for (std::int64_t h = 0; h < kHidden; ++h) {
    EXPECT_NEAR(y.data<double>()[t * kHidden + h], expected[static_cast<std::size_t>(h)], 1e-13)
        << "token " << t;
  }
}

TEST(MoeLayer, AddsUpItsExpertsTimesTheirGates) {
  RoutedLayer routed(moe_config());
  const Tensor y = routed.layer.forward(routed.x, routed.pass);
  for (int t = 0; t < kTokens; ++t) {
    std::vector<double> expected(kHidden);
    for (int k = 0; k < 2; ++k) {
      const double gate = routed.kept("gates").data<double>()[2 * t + k];
      const std::vector<double> one =
          expert_output(routed, routed.kept("indices").data<std::int32_t>()[2 * t + k], t);
      for (std::size_t h = 0; h < one.size(); ++h)
        expected[h] += gate * one[h];
    }
    expect_row(y, t, expected);
  }
  EXPECT_EQ(routed.stats[1].dropped, 0);
  EXPECT_EQ(routed.stats[1].offered, 2 * kTokens);
}

// Bytes of the buffers of a layer, forward and backward, when the biases choose the experts.
struct Peaks {
  std::int64_t activations, workspace;
  bool operator==(const Peaks&) const = default;
};
Peaks peaks_with_bias(const std::vector<double>& bias) {
  RoutedLayer routed(sigmoid_moe_config());  // 5 experts, top 2
  Tensor& values = routed.tiny.params.get("layers.1.moe.router.bias").value;
  std::copy(bias.begin(), bias.end(), values.data<double>());
  routed.tiny.backend->reset_peaks();
  const Tensor y = routed.layer.forward(routed.x, routed.pass);
  routed.stash.keep("layers.1.ffn.norm_out", routed.x);
  routed.layer.backward_input(y, routed.pass);
  routed.layer.backward_weight(routed.pass);
  const Backend& backend = *routed.tiny.backend;
  return {backend.counter(MemoryKind::activations).peak_bytes,
          backend.counter(MemoryKind::workspace).peak_bytes};
}

TEST(MoeLayer, ImbalanceCostsNoMemory) {
  const Peaks balanced = peaks_with_bias({0, 0, 0, 0, 0});
  EXPECT_EQ(peaks_with_bias({0, 0, 0, 20, 10}), balanced);  // two experts take everything
  EXPECT_EQ(peaks_with_bias({20, 0, 0, 0, 0}), balanced);
}

// Top-1 and one expert far ahead: it takes every token, the other four none.
TEST(MoeLayer, OneExpertMayTakeEveryToken) {
  spec::ModelConfig config = sigmoid_moe_config();
  config.router_top_k = 1;
  config.num_shared_experts = 0;
  RoutedLayer routed(config);
  routed.tiny.params.get("layers.1.moe.router.bias").value.data<double>()[2] = 50;
  const Tensor y = routed.layer.forward(routed.x, routed.pass);
  EXPECT_EQ(routed.stats[1].expert_tokens, (std::vector<std::int64_t>{0, 0, kTokens, 0, 0}));
  for (int t = 0; t < kTokens; ++t) {
    std::vector<double> expected = expert_output(routed, 2, t);
    for (double& value : expected)
      value *= config.routed_scaling_factor;  // one chosen score over itself
    expect_row(y, t, expected);
  }
}

// One expert is everybody's choice and serves two of them; the rest get nothing.
TEST(MoeLayer, DropsWhatDoesNotFitAndCountsIt) {
  for (const spec::CapacityPolicy policy :
       {spec::CapacityPolicy::probability, spec::CapacityPolicy::position}) {
    spec::ModelConfig config = sigmoid_moe_config();
    config.router_top_k = 1;
    config.router_renormalize = false;
    config.num_shared_experts = 0;
    config.expert_capacity_factor = 1;  // ceil(9 / 5) = 2 rows
    config.capacity_policy = policy;
    RoutedLayer routed(config);
    routed.tiny.params.get("layers.1.moe.router.bias").value.data<double>()[2] = 50;
    routed.pass.training.emplace();
    const Tensor y = routed.layer.forward(routed.x, routed.pass);
    EXPECT_EQ(routed.stats[1].expert_tokens, (std::vector<std::int64_t>{0, 0, kTokens, 0, 0}));
    EXPECT_EQ(routed.stats[1].offered, kTokens);
    EXPECT_EQ(routed.stats[1].dropped, kTokens - 2);
    EXPECT_EQ(routed.kept("permuted").dim(0), kTokens);  // min(T K, E C) = min(9, 10)
    std::vector<std::pair<double, int>> scores;
    for (int t = 0; t < kTokens; ++t)
      scores.emplace_back(-routed.kept("scores").data<double>()[5 * t + 2], t);
    if (policy == spec::CapacityPolicy::probability) std::sort(scores.begin(), scores.end());
    for (int i = 0; i < kTokens; ++i) {
      const int t = scores[static_cast<std::size_t>(i)].second;
      EXPECT_EQ(norm_of(y, t) > 0, i < 2) << "token " << t << ", " << enum_name(policy);
    }

    RoutedLayer evaluated(config);
    evaluated.tiny.params.get("layers.1.moe.router.bias").value.data<double>()[2] = 50;
    const Tensor all = evaluated.layer.forward(evaluated.x, evaluated.pass);
    for (int t = 0; t < kTokens; ++t)
      EXPECT_GT(norm_of(all, t), 0) << "evaluation drops nothing";
    EXPECT_EQ(evaluated.stats[1].dropped, 0);
  }
}

// A step of a layer of which expert 2 is everybody's choice.
struct Step {
  std::vector<double> y, dx, d_in, d_out, d_router;
  std::vector<std::int64_t> offsets;
  std::int64_t dropped = 0;
  bool operator==(const Step&) const = default;
};
Step step_of(const spec::ModelConfig& config) {
  RoutedLayer routed(config);
  ParamStore& params = routed.tiny.params;
  params.get("layers.1.moe.router.bias").value.data<double>()[2] = 50;
  routed.pass.training.emplace();
  const auto values = [](const Tensor& t) {
    return std::vector<double>(t.data<double>(), t.data<double>() + t.num_elements());
  };
  Step step;
  const Tensor y = routed.layer.forward(routed.x, routed.pass);
  step.y = values(y);
  step.dropped = routed.stats[1].dropped;
  const Tensor& offsets = routed.kept("offsets");
  step.offsets.assign(offsets.data<std::int64_t>(), offsets.data<std::int64_t>() + 6);
  routed.stash.keep("layers.1.ffn.norm_out", routed.x);
  step.dx = values(routed.layer.backward_input(y, routed.pass));
  routed.layer.backward_weight(routed.pass);
  step.d_in = values(params.get("layers.1.moe.experts.in.weight").gradient());
  step.d_out = values(params.get("layers.1.moe.experts.out.weight").gradient());
  step.d_router = values(params.get("layers.1.moe.router.weight").gradient());
  return step;
}

// Rows of zeros add zeros, to sums that the reference takes one by one: the same bits.
TEST(MoeLayer, PaddingToTheCapacityChangesNothingButTheRows) {
  spec::ModelConfig config = sigmoid_moe_config();
  config.expert_capacity_factor = 1;  // ceil(9 x 2 / 5) = 4 rows
  Step packed = step_of(config);
  config.capacity_pad = true;
  const Step padded = step_of(config);
  EXPECT_EQ(padded.offsets, (std::vector<std::int64_t>{0, 4, 8, 12, 16, 20}));
  EXPECT_LT(packed.offsets.back(), 20);
  EXPECT_EQ(packed.dropped, 18 - packed.offsets.back());
  packed.offsets = padded.offsets;
  EXPECT_EQ(packed, padded);
}

TEST(MoeLayer, ExpertsThatChooseTakeTheirBestTokens) {
  spec::ModelConfig config = moe_config();
  config.router_choice = spec::RouterChoice::expert;
  config.aux_loss_coeff = 0;
  RoutedLayer routed(config);
  const Tensor y = routed.layer.forward(routed.x, routed.pass);
  constexpr std::int64_t kCapacity = 4;  // ceil(9 x 2 / 5)
  EXPECT_EQ(routed.stats[1].expert_tokens, std::vector<std::int64_t>(5, kCapacity));
  EXPECT_EQ(routed.kept("permuted").dim(0), 5 * kCapacity);
  std::vector<std::vector<double>> expected(kTokens, std::vector<double>(kHidden));
  std::vector<bool> taken(kTokens);
  for (std::int64_t e = 0; e < 5; ++e) {
    std::vector<std::pair<double, int>> scores;
    for (int t = 0; t < kTokens; ++t)
      scores.emplace_back(-routed.kept("scores").data<double>()[5 * t + e], t);
    std::sort(scores.begin(), scores.end());
    for (std::size_t i = 0; i < kCapacity; ++i) {
      const auto [score, t] = scores[i];
      taken[static_cast<std::size_t>(t)] = true;
      const std::vector<double> one = expert_output(routed, e, t);
      for (std::size_t h = 0; h < one.size(); ++h)
        expected[static_cast<std::size_t>(t)][h] -= score * one[h];
    }
  }
  for (int t = 0; t < kTokens; ++t)
    expect_row(y, t, expected[static_cast<std::size_t>(t)]);
  EXPECT_EQ(routed.stats[1].offered, kTokens);
  EXPECT_EQ(routed.stats[1].dropped, std::count(taken.begin(), taken.end(), false));
}

TEST(MoeLayer, TheGateOfSharedExpertsIsASigmoidOfTheToken) {
  spec::ModelConfig config = moe_config();
  config.num_shared_experts = 2;
  RoutedLayer plain(config);
  config.shared_expert_gate = true;
  RoutedLayer gated(config);
  config.num_shared_experts = 0;
  config.shared_expert_gate = false;
  RoutedLayer without(config);
  const Tensor all = plain.layer.forward(plain.x, plain.pass);
  const Tensor some = gated.layer.forward(gated.x, gated.pass);
  const Tensor none = without.layer.forward(without.x, without.pass);
  const double* w = gated.tiny.params.get("layers.1.moe.shared.gate.weight").value.data<double>();
  for (std::int64_t t = 0; t < kTokens; ++t) {
    double logit = 0;
    for (std::int64_t h = 0; h < kHidden; ++h)
      logit += w[h] * gated.x.data<double>()[t * kHidden + h];
    const double gate = 1 / (1 + std::exp(-logit));
    std::vector<double> expected = row_of(none, t);
    for (std::size_t h = 0; h < expected.size(); ++h)
      expected[h] += gate * (row_of(all, t)[h] - row_of(none, t)[h]);
    expect_row(some, t, expected);
  }
}

}  // namespace
}  // namespace tera::nn::test
