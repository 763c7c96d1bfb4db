#include "core/data/order.h"

#include <cmath>
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tera::data {
namespace {

std::string id_of(char digit) {
  return std::string(64, digit);
}

TEST(Permutation, IsABijectionWithItsInverse) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 1000, 65536, 100003}) {
    for (const std::int64_t epoch : {0, 1, 7}) {
      const Permutation permutation(n, 99, epoch);
      std::vector<bool> seen(static_cast<std::size_t>(n), false);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t value = permutation.forward(i);
        ASSERT_TRUE(value >= 0 && value < n);
        ASSERT_FALSE(seen[static_cast<std::size_t>(value)]) << n << " " << i;
        seen[static_cast<std::size_t>(value)] = true;
        ASSERT_EQ(permutation.inverse(value), i);
      }
    }
  }
}

// Neighbours land a third of the range apart on average, as of two uniform draws.
TEST(Permutation, ScattersNeighbours) {
  constexpr std::int64_t kSize = 1000003;
  const Permutation permutation(kSize, 5, 0);
  double sum = 0;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) {
    sum += std::abs(static_cast<double>(permutation.forward(i + 1) - permutation.forward(i)));
  }
  EXPECT_NEAR(sum / kDraws / kSize, 1.0 / 3, 0.01);  // standard error 0.24 / sqrt(20000) = 0.0017
}

TEST(Permutation, DiffersByKeyAndEpoch) {
  const Permutation a(1000, 1, 0), b(1000, 2, 0), c(1000, 1, 1);
  int same_key = 0, same_epoch = 0;
  for (int i = 0; i < 1000; ++i) {
    same_key += a.forward(i) == b.forward(i) ? 1 : 0;
    same_epoch += a.forward(i) == c.forward(i) ? 1 : 0;
  }
  EXPECT_LT(same_key, 10);
  EXPECT_LT(same_epoch, 10);
}

TEST(Quotas, AreLargestRemaindersAndAtLeastOne) {
  EXPECT_EQ(quotas({1, 1, 1}, 10), (std::vector<std::int64_t>{4, 3, 3}));
  EXPECT_EQ(quotas({0.7, 0.2, 0.1}, 10), (std::vector<std::int64_t>{7, 2, 1}));
  EXPECT_EQ(quotas({1e9, 1, 0}, 100), (std::vector<std::int64_t>{99, 1, 0}));
  EXPECT_EQ(quotas({3}, 65536), (std::vector<std::int64_t>{65536}));
}

class BlendTest : public testing::Test {
 protected:
  static constexpr std::int64_t kBlock = 256;
  static TrainingOrder make(std::uint64_t seed = 7) {
    return TrainingOrder::create(seed, {{id_of('1'), 501}, {id_of('2'), 97}, {id_of('3'), 2000}},
                                 {{0, {5, 3, 2}}, {10007, {1, 1, 8}}, {20011, {0, 1, 1}}}, kBlock)
        .value();
  }
};

TEST_F(BlendTest, UsesEveryWindowOncePerEpochAcrossStages) {
  const TrainingOrder order = make();
  BlockTable table;
  std::vector<std::int64_t> cursor(3, 0);
  std::vector<std::set<std::pair<std::int64_t, std::int64_t>>> seen(3);
  for (std::int64_t g = 0; g < 30000; ++g) {
    const SampleRef ref = order.sample(g, table);
    const auto i = static_cast<std::size_t>(ref.dataset);
    ASSERT_EQ(ref.local, cursor[i]++) << "g " << g;  // cursors go on where a stage left them
    ASSERT_EQ(ref.epoch, ref.local / order.num_windows(ref.dataset));
    ASSERT_TRUE(seen[i].insert({ref.epoch, ref.window}).second) << "g " << g;
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(order.samples_before(i, 30000, table), cursor[static_cast<std::size_t>(i)]);
  }
}

TEST_F(BlendTest, InverseIsExactAndRandomAccessEqualsSequential) {
  const TrainingOrder order = make();
  BlockTable forwards, jumping;
  for (std::int64_t k = 0; k < 3000; ++k) {
    const std::int64_t g = k * 7919 % 30000;
    const SampleRef ref = order.sample(g, jumping);
    EXPECT_EQ(order.sample_index(ref.dataset, ref.local, forwards), g);
    EXPECT_EQ(order.sample_index(ref.dataset, ref.epoch, ref.window, forwards), g);
  }
}

TEST_F(BlendTest, SharesAreTheWeights) {
  const TrainingOrder order = make();
  BlockTable table;
  // Whole blocks have exact quotas; 39 blocks of 256 lie before 10007.
  constexpr std::int64_t kEnd = 39 * kBlock;
  EXPECT_EQ(order.samples_before(0, kEnd, table), 39 * 128);
  EXPECT_EQ(order.samples_before(1, kEnd, table), 39 * 77);
  EXPECT_EQ(order.samples_before(2, kEnd, table), 39 * 51);
  // A dataset of weight 0 gets nothing more.
  EXPECT_EQ(order.samples_before(0, 20011, table), order.samples_before(0, 40000, table));
}

TEST_F(BlendTest, AnswersNothingForSamplesNoStageReaches) {
  const TrainingOrder order = make();
  BlockTable table;
  const std::int64_t last = order.samples_before(0, 20011, table);
  EXPECT_TRUE(order.sample_index(0, last - 1, table).has_value());
  EXPECT_FALSE(order.sample_index(0, last, table).has_value());
}

TEST_F(BlendTest, DependsOnTheSeed) {
  const TrainingOrder a = make(1), b = make(2);
  BlockTable ta, tb;
  int same = 0;
  for (std::int64_t g = 0; g < 1000; ++g)
    same += a.sample(g, ta) == b.sample(g, tb) ? 1 : 0;
  EXPECT_LT(same, 50);
  EXPECT_NE(a.description(), b.description());
}

// The order is a promise: these figures must never change (tera-1). They come from a second program,
// tests/referee/data_order/order.py, written from ORDER.md.
TEST(TrainingOrder, IsFrozen) {
  const TrainingOrder order =
      TrainingOrder::create(1234, {{id_of('a'), 1000}, {id_of('b'), 50}}, {{0, {9, 1}}}).value();
  BlockTable table;
  std::vector<std::int64_t> windows, datasets;
  for (std::int64_t g = 0; g < 8; ++g) {
    windows.push_back(order.sample(g, table).window);
    datasets.push_back(order.sample(g, table).dataset);
  }
  const SampleRef far = order.sample(123456789012, table);
  EXPECT_EQ(windows, (std::vector<std::int64_t>{533, 174, 550, 313, 804, 159, 883, 297}));
  EXPECT_EQ(datasets, (std::vector<std::int64_t>(8, 0)));
  EXPECT_EQ(far, (SampleRef{0, 111110356596, 111110356, 885}));
}

TEST(TrainingOrder, RefusesWhatCannotBeOrdered) {
  const auto message = [](const Result<TrainingOrder>& order) {
    return order ? std::string() : order.error().message;
  };
  EXPECT_NE(message(TrainingOrder::create(1, {}, {{0, {}}})), "");
  EXPECT_THAT(message(TrainingOrder::create(1, {{id_of('1'), 0}}, {{0, {1}}})),
              testing::HasSubstr("no full window"));
  EXPECT_THAT(message(TrainingOrder::create(1, {{"xyz", 5}}, {{0, {1}}})),
              testing::HasSubstr("64 hex digits"));
  EXPECT_THAT(message(TrainingOrder::create(1, {{id_of('1'), 5}}, {{0, {0}}})),
              testing::HasSubstr("sum to 0"));
  EXPECT_THAT(message(TrainingOrder::create(1, {{id_of('1'), 5}}, {{0, {NAN}}})),
              testing::HasSubstr("not a number"));
  EXPECT_THAT(message(TrainingOrder::create(1, {{id_of('1'), 5}}, {{0, {1, 2}}})),
              testing::HasSubstr("2 weights for 1"));
  EXPECT_THAT(message(TrainingOrder::create(1, {{id_of('1'), 5}}, {{0, {1}}, {0, {1}}})),
              testing::HasSubstr("not after"));
}

}  // namespace
}  // namespace tera::data
