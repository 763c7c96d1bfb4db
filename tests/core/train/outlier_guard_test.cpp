#include "core/train/outlier_guard.h"

#include <cmath>

#include <gtest/gtest.h>

namespace tera::train {
namespace {

// Losses that alternate between 1.9 and 2.1, norms between 0.9 and 1.1.
void feed(OutlierGuard& guard, int steps) {
  for (int i = 0; i < steps; ++i) {
    const double sign = i % 2 == 0 ? 0.1 : -0.1;
    EXPECT_FALSE(guard.judge(2 + sign, 1 - sign).outlier);
  }
}

TEST(OutlierGuard, MeasuresInStandardDeviationsOfTheWindow) {
  OutlierGuard guard(6, 20);
  feed(guard, 20);
  const double deviation = std::sqrt(20 * 0.01 / 19);
  const OutlierGuard::Verdict high = guard.judge(2 + 6.01 * deviation, 1);
  EXPECT_NEAR(high.loss_zscore, 6.01, 1e-9);
  EXPECT_NEAR(high.grad_norm_zscore, 0, 1e-9);
  EXPECT_TRUE(high.outlier);
  EXPECT_FALSE(guard.judge(2 + 5.99 * deviation, 1).outlier);
}

TEST(OutlierGuard, EitherNumberIsEnoughAndLowIsNeverTooLow) {
  OutlierGuard guard(6, 10);
  feed(guard, 10);
  EXPECT_TRUE(guard.judge(2, 5).outlier);
  EXPECT_FALSE(guard.judge(-50, 0).outlier);
}

TEST(OutlierGuard, AnOutlierDoesNotEnterTheWindow) {
  OutlierGuard guard(6, 10);
  feed(guard, 10);
  const auto before = guard.state();
  EXPECT_TRUE(guard.judge(100, 1).outlier);
  EXPECT_TRUE(guard.judge(100, 1).outlier);
  EXPECT_EQ(guard.state().losses, before.losses);
  EXPECT_EQ(guard.skipped_in_a_row(), 2);
  feed(guard, 1);
  EXPECT_EQ(guard.skipped_in_a_row(), 0);
  EXPECT_EQ(guard.state().losses.size(), 10U);  // the oldest went
}

TEST(OutlierGuard, BeforeHalfAWindowOnlyWhatIsNotFiniteStandsOut) {
  OutlierGuard guard(6, 10);
  feed(guard, 4);
  EXPECT_FALSE(guard.judge(1000, 1).outlier);
  EXPECT_TRUE(guard.judge(std::nan(""), 1).outlier);
  EXPECT_TRUE(guard.judge(2, HUGE_VAL).outlier);
}

TEST(OutlierGuard, OffItSaysNothing) {
  OutlierGuard guard(0, 10);
  EXPECT_FALSE(guard.judge(std::nan(""), 1).outlier);
  EXPECT_TRUE(guard.state().losses.empty());
}

TEST(OutlierGuard, EqualStepsLetTheNextOneThrough) {
  OutlierGuard guard(6, 4);
  for (int i = 0; i < 10; ++i)
    EXPECT_FALSE(guard.judge(0.1, 0).outlier) << i;
}

TEST(OutlierGuard, GoesOnAfterARestore) {
  OutlierGuard one(6, 10);
  feed(one, 7);
  OutlierGuard other(6, 10);
  other.restore(one.state());
  const auto a = one.judge(2.3, 1.2);
  const auto b = other.judge(2.3, 1.2);
  EXPECT_EQ(a.loss_zscore, b.loss_zscore);
  EXPECT_EQ(one.state().grad_norms, other.state().grad_norms);
}

}  // namespace
}  // namespace tera::train
