#include "core/infer/log_likelihood.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/core/infer/test_models.h"

namespace tera::infer {
namespace {

using test::kNumTokens;
using test::RandomModel;

using Tokens = std::vector<std::int32_t>;

// By hand: one forward over everything, softmax in f64 over the tokenizer's rows.
Likelihood expected(RandomModel& random, const Tokens& context, const Tokens& continuation) {
  Tokens all = context;
  all.insert(all.end(), continuation.begin(), continuation.end() - 1);
  nn::KvCache cache = random.model->make_cache(static_cast<int>(all.size()));
  const Tensor logits = random.model->decode(all, cache);
  Likelihood sum{.logprob = 0, .greedy = true};
  for (std::size_t i = 0; i < continuation.size(); ++i) {
    const float* row =
        logits.data<float>() + static_cast<std::int64_t>(context.size() - 1 + i) * logits.dim(1);
    double total = 0;
    int best = 0;
    for (int v = 0; v < kNumTokens; ++v) {
      total += std::exp(double{row[v]});
      if (row[v] > row[best]) best = v;
    }
    sum.logprob += double{row[continuation[i]]} - std::log(total);
    sum.greedy = sum.greedy && best == continuation[i];
  }
  return sum;
}

Tokens run_of(int first, int count) {
  Tokens tokens;
  for (int i = 0; i < count; ++i)
    tokens.push_back((first + 7 * i) % kNumTokens);
  return tokens;
}

// Logits of f32 have an error of some 1e-5 after two layers; 40 of them are added.
constexpr double kTolerance = 1e-3;

TEST(LogLikelihood, IsTheSumOverTheContinuation) {
  for (const bool moe : {false, true}) {
    RandomModel random(moe, DType::f32);
    LikelihoodScorer scorer(*random.model, kNumTokens);
    const Tokens context = run_of(3, 20);
    const std::vector<Tokens> continuations = {{5}, run_of(9, 40), {17, 4}, run_of(100, 7)};
    const std::vector<Likelihood> scores = scorer.score(context, continuations);
    ASSERT_EQ(scores.size(), 4U);
    for (std::size_t c = 0; c < 4; ++c) {
      const Likelihood by_hand = expected(random, context, continuations[c]);
      EXPECT_NEAR(scores[c].logprob, by_hand.logprob, kTolerance) << c;
      EXPECT_EQ(scores[c].greedy, by_hand.greedy) << c;
    }
  }
}

TEST(LogLikelihood, KnowsWhatTheModelWouldSay) {
  RandomModel random(false, DType::f32);
  LikelihoodScorer scorer(*random.model, kNumTokens);
  Tokens context = run_of(3, 5);
  Tokens said;
  for (int i = 0; i < 3; ++i) {
    Tokens all = context;
    all.insert(all.end(), said.begin(), said.end());
    nn::KvCache cache = random.model->make_cache(20);
    const Tensor logits = random.model->decode(all, cache, {.last_only = true});
    said.push_back(static_cast<std::int32_t>(
        std::max_element(logits.data<float>(), logits.data<float>() + kNumTokens) -
        logits.data<float>()));
  }
  Tokens other = said;
  other[1] = (other[1] + 1) % kNumTokens;
  const std::vector<Likelihood> scores = scorer.score(context, std::vector<Tokens>{said, other});
  EXPECT_TRUE(scores[0].greedy);
  EXPECT_FALSE(scores[1].greedy);
}

TEST(LogLikelihood, DropsTheBeginningOfWhatIsTooLong) {
  RandomModel random(false, DType::f32);
  LikelihoodScorer scorer(*random.model, kNumTokens);
  ASSERT_EQ(scorer.max_length(), 80);
  const Tokens context = run_of(3, 75);
  const std::vector<Tokens> continuations = {run_of(9, 6), run_of(11, 30), run_of(2, 80)};
  const std::vector<Likelihood> scores = scorer.score(context, continuations);
  for (std::size_t c = 0; c < 3; ++c) {
    const auto kept = static_cast<std::ptrdiff_t>(81 - continuations[c].size());
    const Tokens rest(context.end() - std::min<std::ptrdiff_t>(kept, 75), context.end());
    EXPECT_NEAR(scores[c].logprob, expected(random, rest, continuations[c]).logprob, kTolerance)
        << c;
  }
}

TEST(LogLikelihood, HasTheSameBitsOnAnyNumberOfThreads) {
  for (const bool moe : {false, true}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      RandomModel one(moe, dtype, 1);
      RandomModel two(moe, dtype, 2);
      const std::vector<Tokens> continuations = {run_of(9, 33), {17, 4}};
      const auto a = LikelihoodScorer(*one.model, kNumTokens).score(run_of(3, 40), continuations);
      const auto b = LikelihoodScorer(*two.model, kNumTokens).score(run_of(3, 40), continuations);
      for (std::size_t c = 0; c < 2; ++c)
        EXPECT_EQ(a[c].logprob, b[c].logprob);
    }
  }
}

}  // namespace
}  // namespace tera::infer
