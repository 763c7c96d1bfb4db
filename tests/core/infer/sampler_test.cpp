#include "core/infer/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace tera::infer {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampled drawn(const std::vector<float>& logits,
              const SamplingOptions& options,
              std::int64_t position) {
  const Result<Sampled> result = sample(logits, options, position);
  EXPECT_TRUE(result.has_value());
  return result.value_or(Sampled{.token = -1, .logprob = 0});
}

// How often each token came in many draws.
std::map<std::int32_t, int> histogram(const std::vector<float>& logits,
                                      const SamplingOptions& options,
                                      int draws) {
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < draws; ++i)
    ++counts[drawn(logits, options, i).token];
  return counts;
}

TEST(Sampler, TemperatureZeroTakesTheLargestAndTheLowestOfEquals) {
  const std::vector<float> logits = {0, 3, -1, 3, 2};
  for (int position = 0; position < 10; ++position)
    EXPECT_EQ(drawn(logits, {.temperature = 0}, position).token, 1);
}

TEST(Sampler, LogprobIsThatOfTheModelWhateverTheOptions) {
  const std::vector<float> logits = {0, 3, -1, 3, 2};
  double total = 0;
  for (const float logit : logits)
    total += std::exp(static_cast<double>(logit));
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 0},
        SamplingOptions{.temperature = 5, .top_k = 3, .top_p = 0.9}}) {
    const Sampled s = drawn(logits, options, 1);
    EXPECT_NEAR(s.logprob,
                static_cast<double>(logits[static_cast<std::size_t>(s.token)]) - std::log(total),
                1e-12);
  }
}

TEST(Sampler, FrequenciesFollowTheSoftmaxAtTheTemperature) {
  const std::vector<float> logits = {0, 1, 2};
  constexpr int kDraws = 20000;
  const auto counts = histogram(logits, {.temperature = 0.5}, kDraws);
  const double total = 1 + std::exp(2.0) + std::exp(4.0);
  for (const std::int32_t token : {0, 1, 2}) {
    const double p = std::exp(2.0 * token) / total;
    // Five standard deviations of a binomial.
    EXPECT_NEAR(counts.at(token), kDraws * p, 5 * std::sqrt(kDraws * p * (1 - p))) << token;
  }
}

TEST(Sampler, TopKKeepsTheMostLikelyAndTheLowestOfEquals) {
  const auto counts = histogram({1, 5, 5, 5, 0}, {.temperature = 1, .top_k = 2}, 500);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.count(1) == 1 && counts.count(2) == 1);
  EXPECT_EQ(histogram({1, 2, 3}, {.temperature = 100, .top_k = 7}, 500).size(), 3U);
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  // Probabilities 0.5, 0.3, 0.2.
  const std::vector<float> logits = {std::log(0.2F), std::log(0.5F), std::log(0.3F)};
  EXPECT_EQ(histogram(logits, {.temperature = 1, .top_p = 0.4}, 300).size(), 1U);
  EXPECT_EQ(histogram(logits, {.temperature = 1, .top_p = 0.7}, 300).size(), 2U);
  EXPECT_EQ(histogram(logits, {.temperature = 1, .top_p = 0.9}, 300).size(), 3U);
  const auto tiny = histogram(logits, {.temperature = 1, .top_p = 1e-9}, 300);
  EXPECT_EQ(tiny.size(), 1U);
  EXPECT_EQ(tiny.begin()->first, 1);
}

TEST(Sampler, DependsOnSeedAndPositionAlone) {
  std::vector<float> logits(1000);
  std::set<std::int32_t> by_seed;
  std::set<std::int32_t> by_position;
  for (std::uint64_t i = 0; i < 50; ++i) {
    by_seed.insert(drawn(logits, {.temperature = 1, .seed = i}, 3).token);
    by_position.insert(
        drawn(logits, {.temperature = 1, .seed = 3}, static_cast<std::int64_t>(i)).token);
    EXPECT_EQ(drawn(logits, {.temperature = 1, .seed = i}, 3).token,
              drawn(logits, {.temperature = 1, .seed = i}, 3).token);
  }
  EXPECT_GT(by_seed.size(), 40U);
  EXPECT_GT(by_position.size(), 40U);
}

TEST(Sampler, NeverDrawsTheImpossible) {
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  const auto counts = histogram({minus_infinity, 0, kNan, 0}, {.temperature = 2}, 300);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.count(1) == 1 && counts.count(3) == 1);
}

TEST(Sampler, UnusableLogitsAreAnError) {
  for (const std::vector<float>& logits :
       {std::vector<float>{kNan, kNan}, {1, std::numeric_limits<float>::infinity()}, {}}) {
    const Result<Sampled> result = sample(logits, {}, 7);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::corrupt);
  }
}

}  // namespace
}  // namespace tera::infer
