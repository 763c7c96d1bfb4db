#include "core/infer/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace tera::infer {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::int32_t drawn(const std::vector<float>& logits,
                   const SamplingOptions& options,
                   std::int64_t position,
                   std::uint64_t seed = 0) {
  std::vector<Candidate> candidates;
  const Result<std::int32_t> result = sample(logits, options, seed, position, candidates);
  EXPECT_TRUE(result.has_value());
  return result.value_or(-1);
}

// How often each token came in many draws.
std::map<std::int32_t, int> histogram(const std::vector<float>& logits,
                                      const SamplingOptions& options,
                                      int draws) {
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < draws; ++i)
    ++counts[drawn(logits, options, i)];
  return counts;
}

TEST(Sampler, TemperatureZeroTakesTheLargestAndTheLowestOfEquals) {
  const std::vector<float> logits = {0, 3, -1, 3, 2};
  for (int position = 0; position < 10; ++position)
    EXPECT_EQ(drawn(logits, {.temperature = 0}, position), 1);
}

TEST(Sampler, FindsTheLargestWhereverItStands) {
  for (const std::size_t place : {0U, 15U, 16U, 37U, 49U}) {
    std::vector<float> logits(50, -1.0F);
    logits[place] = 2;
    EXPECT_EQ(drawn(logits, {.temperature = 0}, 0), static_cast<std::int32_t>(place));
    logits[(place + 1) % 50] = kNan;
    std::vector<Candidate> candidates;
    EXPECT_FALSE(infer::sample(logits, {.temperature = 0}, 0, 0, candidates).has_value()) << place;
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

TEST(Sampler, MinPKeepsWhatIsNearTheMostLikely) {
  // Probabilities 0.5, 0.3, 0.2: shares of the largest 1, 0.6, 0.4.
  const std::vector<float> logits = {std::log(0.2F), std::log(0.5F), std::log(0.3F)};
  EXPECT_EQ(histogram(logits, {.temperature = 1, .min_p = 1}, 300).size(), 1U);
  EXPECT_EQ(histogram(logits, {.temperature = 1, .min_p = 0.59}, 300).size(), 2U);
  EXPECT_EQ(histogram(logits, {.temperature = 1, .min_p = 0.39}, 300).size(), 3U);
  EXPECT_EQ(histogram(logits, {.temperature = 0.5, .min_p = 0.39}, 300).size(), 1U)
      << "of what the temperature makes of them";
}

TEST(Sampler, PenaltiesLowerWhatWasThere) {
  const std::vector<float> logits = {2, -2, 3, 1, 0};
  TokenHistory history;
  const std::vector<std::int32_t> prompt = {0, 1, 999};  // 999: beyond the row
  history.add_prompt(prompt);
  history.add(2);
  history.add(2);
  history.add(0);
  std::vector<float> row = logits;
  history.penalise(row, {.repetition_penalty = 2});
  EXPECT_EQ(row, (std::vector<float>{1, -4, 1.5, 1, 0}));
  row = logits;
  history.penalise(row, {.presence_penalty = 0.5, .frequency_penalty = 0.25});
  EXPECT_EQ(row, (std::vector<float>{1.25, -2, 2, 1, 0})) << "of the text alone, not the prompt";
  row = logits;
  history.penalise(row, {});
  EXPECT_EQ(row, logits);
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  const std::pair<SamplingOptions, const char*> wrong[] = {
      {{.temperature = -1}, "temperature"},
      {{.temperature = std::nan("")}, "temperature"},
      {{.top_k = -2}, "top_k"},
      {{.top_p = 0}, "top_p"},
      {{.top_p = 1.1}, "top_p"},
      {{.min_p = -0.1}, "min_p"},
      {{.repetition_penalty = 0}, "repetition_penalty"},
      {{.presence_penalty = 101}, "presence_penalty"},
      {{.frequency_penalty = -101}, "frequency_penalty"}};
  for (const auto& [options, name] : wrong) {
    const Result<void> checked = check_sampling(options);
    ASSERT_FALSE(checked.has_value()) << name;
    EXPECT_EQ(checked.error().code, ErrorCode::invalid_input);
    EXPECT_NE(checked.error().message.find(name), std::string::npos) << checked.error().message;
  }
  EXPECT_TRUE(check_sampling({}).has_value());
}

TEST(Sampler, DependsOnSeedAndPositionAlone) {
  std::vector<float> logits(1000);
  std::set<std::int32_t> by_seed;
  std::set<std::int32_t> by_position;
  for (std::uint64_t i = 0; i < 50; ++i) {
    by_seed.insert(drawn(logits, {.temperature = 1}, 3, i));
    by_position.insert(drawn(logits, {.temperature = 1}, static_cast<std::int64_t>(i), 3));
    EXPECT_EQ(drawn(logits, {.temperature = 1}, 3, i), drawn(logits, {.temperature = 1}, 3, i));
  }
  EXPECT_GT(by_seed.size(), 40U);
  EXPECT_GT(by_position.size(), 40U);
}

TEST(Sampler, NeverDrawsTheImpossible) {
  const float minus_infinity = -std::numeric_limits<float>::infinity();
  const auto counts = histogram({minus_infinity, 0, minus_infinity, 0}, {.temperature = 2}, 300);
  EXPECT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.count(1) == 1 && counts.count(3) == 1);
}

TEST(Sampler, UnusableLogitsAreAnError) {
  for (const std::vector<float>& logits : {std::vector<float>{kNan, kNan},
                                           {1, kNan},
                                           {1, std::numeric_limits<float>::infinity()},
                                           {}}) {
    std::vector<Candidate> candidates;
    const Result<std::int32_t> result = infer::sample(logits, {}, 0, 7, candidates);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::corrupt);
  }
}

// What the draw before left behind, from other logits and cuts, changes nothing.
TEST(Sampler, MemoryIsOnlyMemory) {
  std::vector<Candidate> candidates;
  for (int i = 0; i < 100; ++i) {
    std::vector<float> logits;
    for (int token = 0; token < 3 + i * 7 % 40; ++token)
      logits.push_back(static_cast<float>((i + token * token) % 5));
    const SamplingOptions options{.temperature = 1, .top_k = i % 4, .top_p = i % 3 == 0 ? 0.5 : 1};
    EXPECT_EQ(sample(logits, options, 9, i, candidates).value(), drawn(logits, options, i, 9)) << i;
  }
}

}  // namespace
}  // namespace tera::infer
