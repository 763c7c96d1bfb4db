// The frequencies of published models as transformers 5.23 computes them, in f32.
#include "core/nn/rotary.h"

#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "core/spec/presets.h"
#include "tests/core/nn/tiny_model.h"

namespace tera::nn::test {
namespace {

void expect_frequencies(const spec::ModelConfig& config,
                        const std::map<std::size_t, double>& expected) {
  const std::vector<double> frequencies = rope_frequencies(config);
  ASSERT_EQ(frequencies.size(), static_cast<std::size_t>(config.rotary_dims() / 2));
  for (const auto& [i, value] : expected)  // theirs: a power and a few roundings of 6e-8
    EXPECT_NEAR(frequencies.at(i), value, 1e-6 * value) << i;
}

spec::ModelConfig preset(const char* name) {
  return spec::model_preset(name)->model;
}

TEST(RopeFrequencies, OfLlama31KeepShortWavesAndStretchLongOnes) {
  expect_frequencies(preset("llama-3.1-8b"), {{0, 1.0},
                                              {1, 0.8146172165870667},
                                              {28, 0.0032114461064338684},
                                              {29, 0.0021665706299245358},
                                              {30, 0.0013718936825171113},
                                              {35, 9.556212171446532e-05},
                                              {36, 7.784655463183299e-05},
                                              {63, 3.068925877869333e-07}});
}

TEST(RopeFrequencies, AreNoneWithLearnedPositions) {
  EXPECT_TRUE(rope_frequencies(preset("gpt2-124m")).empty());
}

TEST(RopeFrequencies, OfDeepSeekV3RampBetweenThem) {
  const spec::ModelConfig config = preset("deepseek-v3");
  expect_frequencies(config, {{0, 1.0},
                              {9, 0.07498941570520401},
                              {10, 0.05623412877321243},
                              {11, 0.039006926119327545},
                              {15, 0.0083345090970397},
                              {22, 0.00017782794020604342},
                              {23, 3.333803397254087e-05},
                              {31, 3.3338035336782923e-06}});
  EXPECT_EQ(rope_factor(config), 1.0);
}

TEST(RopeFrequencies, OfYarnWithItsOwnFactorOnTheScores) {
  spec::ModelConfig config = llama_config();
  config.head_dim = 128;
  config.rope_theta = 1e6;
  config.rope_scaling = spec::RopeScaling::yarn;
  config.rope_factor = 4;
  config.rope_original_max_position = 32768;
  expect_frequencies(config, {{1, 0.8058422207832336},
                              {23, 0.006978305988013744},
                              {24, 0.005375321488827467},
                              {30, 0.0010643609566614032},
                              {39, 6.490394298452884e-05},
                              {40, 4.4456985051510856e-05},
                              {63, 3.102344408034696e-07}});
  EXPECT_NEAR(rope_factor(config), 1.138629436111989, 1e-15);
  config.rope_attention_factor = 1.5;
  EXPECT_EQ(rope_factor(config), 1.5);
}

TEST(RopeFrequencies, OfLinearScalingAndOfAFractionOfTheHead) {
  spec::ModelConfig config = llama_config();
  config.head_dim = 128;
  config.rope_scaling = spec::RopeScaling::linear;
  config.rope_factor = 4;
  expect_frequencies(config, {{0, 0.25}, {1, 0.21649108827114105}, {63, 2.8869548259535804e-05}});
  EXPECT_EQ(rope_factor(config), 1.0);
  config = preset("pythia-160m");  // 16 of 64 dims
  expect_frequencies(config, {{0, 1.0}, {4, 0.01}, {7, std::pow(10000.0, -7.0 / 8)}});
}

TEST(Rotary, TurnsByTheDifferenceOfPositionsAndBack) {
  spec::ModelConfig config = llama_config();
  config.rotary_fraction = 0.5;  // 2 of 4 dims, one radian per position
  TinyModel tiny(config);
  const Rotary rotary(*tiny.backend, config);
  const Tensor x = Tensor::empty(*tiny.backend, {2, 1, 4}, DType::f64, MemoryKind::workspace);
  const Tensor y = Tensor::empty(*tiny.backend, {2, 1, 4}, DType::f64, MemoryKind::workspace);
  const Tensor positions = Tensor::empty(*tiny.backend, {2}, DType::i32, MemoryKind::workspace);
  for (std::int64_t i = 0; i < 8; ++i)
    x.data<double>()[i] = static_cast<double>(i % 4 + 1);
  positions.data<std::int32_t>()[0] = 5;
  positions.data<std::int32_t>()[1] = 3;
  rotary.forward(x, positions, y);
  double product = 0;
  for (std::int64_t i = 0; i < 2; ++i)
    product += y.data<double>()[i] * y.data<double>()[4 + i];
  EXPECT_NEAR(product, 5 * std::cos(2.0), 1e-14);  // |x|^2 = 1 + 4, two positions apart
  EXPECT_EQ(y.data<double>()[6], 3);
  rotary.backward(y, positions, y);
  for (std::int64_t i = 0; i < 8; ++i)
    EXPECT_NEAR(y.data<double>()[i], x.data<double>()[i], 1e-14) << i;
}

}  // namespace
}  // namespace tera::nn::test
