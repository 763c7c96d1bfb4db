#include "core/nn/upcycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"

namespace tera::nn::test {
namespace {

using tera::test::largest_difference;
using testing::HasSubstr;

spec::ModelConfig dense_config() {
  spec::ModelConfig config = llama_config();
  config.num_layers = 3;
  return config;
}

spec::ModelConfig upcycled_config() {
  spec::ModelConfig config = dense_config();
  config.num_experts = 4;
  config.router_top_k = 2;
  config.router_renormalize = true;
  config.moe_ffn_hidden_size = config.ffn_hidden_size;
  config.num_dense_layers = 1;
  config.aux_loss_coeff = 0.01;
  config.expert_bias_update_rate = 0.001;
  return config;
}

std::vector<double> logits_of(TinyModel& tiny) {
  const std::vector<std::int32_t> tokens = {3, 14, 0, 7, 16, 7, 2, 9};
  KvCache cache = tiny.model.make_cache(8);
  return values_of(tiny.model.decode(tokens, cache));
}

void upcycle_into(TinyModel& dense, TinyModel& moe, const UpcycleOptions& options) {
  const Result<void> done = upcycle(dense.config, dense.params, moe.config, moe.params, options);
  ASSERT_TRUE(done.has_value()) << done.error().message;
}

TEST(Upcycle, KeepsTheLogitsWhenGatesAddUpToOne) {
  TinyModel dense(dense_config());
  for (const spec::RouterScore score : {spec::RouterScore::softmax, spec::RouterScore::sigmoid}) {
    spec::ModelConfig config = upcycled_config();
    config.router_score = score;
    TinyModel moe(config);
    upcycle_into(dense, moe, {.seed = 9});
    EXPECT_TRUE(keeps_outputs(config, {.seed = 9}));
    // Roundings of f64 over three layers, on logits of order 1.
    EXPECT_LT(largest_difference(logits_of(moe), logits_of(dense)), 1e-13);
  }
}

TEST(Upcycle, MakesEveryExpertACopyAndTheRouterNew) {
  TinyModel dense(dense_config());
  TinyModel moe(upcycled_config());
  upcycle_into(dense, moe, {.seed = 9});
  const Tensor& from = dense.params.get("layers.2.ffn.out.weight").value;
  const Tensor& experts = moe.params.get("layers.2.moe.experts.out.weight").value;
  for (std::int64_t i = 0; i < experts.num_elements(); ++i)
    ASSERT_EQ(value_at(experts, i), value_at(from, i % from.num_elements())) << i;
  const Tensor& router = moe.params.get("layers.2.moe.router.weight").value;
  double squares = 0;
  for (std::int64_t i = 0; i < router.num_elements(); ++i)
    squares += value_at(router, i) * value_at(router, i);
  const double n = static_cast<double>(router.num_elements());  // 48 normals of standard dev. 0.3
  EXPECT_NEAR(std::sqrt(squares / n), 0.3, 4 * 0.3 / std::sqrt(2 * n));
  const Tensor& bias = moe.params.get("layers.2.moe.router.bias").value;
  for (std::int64_t e = 0; e < bias.num_elements(); ++e)
    EXPECT_EQ(value_at(bias, e), 0.0);
  const Tensor& dense_layer = moe.params.get("layers.0.ffn.in.weight").value;
  EXPECT_EQ(value_at(dense_layer, 5),
            value_at(dense.params.get("layers.0.ffn.in.weight").value, 5));
}

TEST(Upcycle, NoiseSetsExpertsApartInItsShare) {
  TinyModel dense(dense_config(), DType::f32);
  TinyModel moe(upcycled_config(), DType::f32);
  const UpcycleOptions options{.seed = 9, .noise_std = 0.05, .noise_share = 0.25};
  upcycle_into(dense, moe, options);
  EXPECT_FALSE(keeps_outputs(moe.config, options));
  const Tensor& from = dense.params.get("layers.1.ffn.in.weight").value;
  const Tensor& experts = moe.params.get("layers.1.moe.experts.in.weight").value;
  double moved = 0;
  double squares = 0;
  for (std::int64_t i = 0; i < experts.num_elements(); ++i) {
    const double noise = value_at(experts, i) - value_at(from, i % from.num_elements());
    moved += noise != 0;
    squares += noise * noise;
  }
  const auto n = static_cast<double>(experts.num_elements());  // 4 x 20 x 12
  EXPECT_NEAR(moved / n, 0.25, 4 * std::sqrt(0.25 * 0.75 / n));
  EXPECT_NEAR(std::sqrt(squares / moved), 0.05, 4 * 0.05 / std::sqrt(2 * moved));
  TinyModel again(upcycled_config(), DType::f32, CpuOps::fast, 2);
  upcycle_into(dense, again, options);
  EXPECT_EQ(logits_of(again).size(), logits_of(moe).size());
  const Tensor& same = again.params.get("layers.1.moe.experts.in.weight").value;
  for (std::int64_t i = 0; i < experts.num_elements(); ++i)
    ASSERT_EQ(value_at(same, i), value_at(experts, i)) << i;
}

TEST(Upcycle, SaysWhatDoesNotFit) {
  const auto message = [](const auto& spoil) {
    spec::ModelConfig dense = dense_config();
    spec::ModelConfig moe = upcycled_config();
    spoil(dense, moe);
    const Result<void> checked = check_upcycle(dense, moe);
    return checked ? std::string("no error") : checked.error().message + "|" + checked.error().hint;
  };
  using Config = spec::ModelConfig;
  EXPECT_EQ(message([](Config&, Config&) {}), "no error");
  EXPECT_THAT(message([](Config& d, Config&) { d.num_experts = 8; }), HasSubstr("8 experts"));
  EXPECT_THAT(message([](Config&, Config& m) { m.num_experts = 0; }), HasSubstr("num_experts: 0"));
  EXPECT_THAT(message([](Config&, Config& m) { m.hidden_size = 24; }),
              HasSubstr("model.hidden_size: got 24, the dense checkpoint has 12|use 12"));
  EXPECT_THAT(message([](Config&, Config& m) { m.moe_ffn_hidden_size = 7; }),
              HasSubstr("moe_ffn_hidden_size: got 7, the dense checkpoint has ffn_hidden_size 10"));
  EXPECT_THAT(message([](Config&, Config& m) { m.num_shared_experts = 1; }),
              HasSubstr("num_shared_experts: got 1"));
  EXPECT_THAT(message([](Config& d, Config& m) { d.ffn_bias = m.ffn_bias = true; }),
              HasSubstr("biases"));
}

}  // namespace
}  // namespace tera::nn::test
