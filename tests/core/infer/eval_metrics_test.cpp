#include "core/infer/eval_metrics.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/infer/python_random.h"

namespace tera::infer {
namespace {

TEST(EvalMetrics, MeanAndItsError) {
  const double values[] = {1, 0, 1, 1};
  EXPECT_DOUBLE_EQ(mean(values), 0.75);
  EXPECT_DOUBLE_EQ(standard_error(values), 0.25) << "sqrt((3 / 16 + 9 / 16) / 3) / sqrt(4)";
  EXPECT_EQ(mean({}), 0);
  const double one[] = {2};
  EXPECT_EQ(standard_error(one), 0);
}

// The value that Python 3 gives for lm-evaluation-harness' bootstrap of these five.
TEST(EvalMetrics, ThePerplexityHasTheErrorOfTheBootstrap) {
  const double logprobs[] = {-1.0, -2.0, -0.5, -3.0, -1.5};
  const Metric metric = perplexity(logprobs);
  EXPECT_EQ(metric.name, "perplexity");
  EXPECT_DOUBLE_EQ(metric.value, std::exp(1.6));
  // 100,000 terms of order 5 added in another order: 1e-16 sqrt(1e5) of them.
  EXPECT_NEAR(metric.standard_error.value(), 2.1850608042352895, 1e-10);
}

// Values of Python 3's random.Random.
TEST(PythonRandom, IsPythons) {
  PythonRandom a(1234);
  EXPECT_EQ(a.random(), 0.9664535356921388);
  EXPECT_EQ(a.random(), 0.4407325991753527);
  EXPECT_EQ(a.random(), 0.007491470058587191);
  PythonRandom b(0);
  EXPECT_EQ(b.random(), 0.8444218515250481);
  for (int i = 0; i < 700; ++i)
    b.random();
  EXPECT_EQ(b.random(), 0.17337386483746886);
}

TEST(PythonRandom, SamplesAsPython) {
  using Places = std::vector<std::int64_t>;
  PythonRandom random(1234);
  EXPECT_EQ(random.sample(10, 5), (Places{7, 1, 0, 9, 4}));
  EXPECT_EQ(random.sample(1000, 6), (Places{35, 687, 709, 85, 100, 784}));
  EXPECT_EQ(random.sample(86, 8), (Places{45, 30, 2, 3, 44, 82, 79, 61})) << "drawn one by one";
  EXPECT_EQ(random.sample(85, 8), (Places{78, 59, 19, 11, 23, 14, 1, 64})) << "from a pool";
  EXPECT_EQ(random.sample(30, 5), (Places{15, 28, 7, 2, 21}));
  EXPECT_TRUE(random.sample(3, 0).empty());
}

}  // namespace
}  // namespace tera::infer
