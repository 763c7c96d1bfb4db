#include "core/train/lr_schedule.h"

#include <cmath>

#include <gtest/gtest.h>

namespace tera::train {
namespace {

spec::TrainingConfig config(spec::LrScheduleKind kind) {
  spec::TrainingConfig c;
  c.lr_schedule = kind;
  c.learning_rate = 1.0;
  c.min_learning_rate = 0.1;
  c.num_steps = 100;
  c.warmup_steps = 10;
  c.decay_steps = 20;
  return c;
}

TEST(LearningRate, WarmsUpLinearlyToThePeak) {
  for (const auto kind :
       {spec::LrScheduleKind::constant, spec::LrScheduleKind::cosine, spec::LrScheduleKind::wsd,
        spec::LrScheduleKind::linear, spec::LrScheduleKind::inverse_sqrt}) {
    const spec::TrainingConfig c = config(kind);
    EXPECT_DOUBLE_EQ(learning_rate_at(c, 0), 0.1);
    EXPECT_DOUBLE_EQ(learning_rate_at(c, 4), 0.5);
    EXPECT_DOUBLE_EQ(learning_rate_at(c, 9), 1.0);
    if (kind != spec::LrScheduleKind::inverse_sqrt) {
      EXPECT_DOUBLE_EQ(learning_rate_at(c, 10), 1.0);
    }
  }
}

TEST(LearningRate, CosineIsHalfWayInTheMiddleAndEndsAtTheMinimum) {
  const spec::TrainingConfig c = config(spec::LrScheduleKind::cosine);
  EXPECT_NEAR(learning_rate_at(c, 55), 0.55, 1e-12);  // (10 + 100) / 2
  EXPECT_NEAR(learning_rate_at(c, 100), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate_at(c, 500), 0.1, 1e-12);  // stays there
  for (int step = 11; step < 100; ++step)
    EXPECT_LT(learning_rate_at(c, step), learning_rate_at(c, step - 1));
}

TEST(LearningRate, WsdIsStableThenDecaysAsOneMinusSquareRoot) {
  const spec::TrainingConfig c = config(spec::LrScheduleKind::wsd);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 79), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 80), 1.0);
  EXPECT_NEAR(learning_rate_at(c, 85), 0.1 + 0.9 * (1 - std::sqrt(0.25)), 1e-12);
  EXPECT_NEAR(learning_rate_at(c, 100), 0.1, 1e-12);
}

TEST(LearningRate, WsdDecaysInTheShapeAskedFor) {
  spec::TrainingConfig c = config(spec::LrScheduleKind::wsd);
  c.wsd_decay = spec::WsdDecay::linear;
  EXPECT_NEAR(learning_rate_at(c, 85), 0.1 + 0.9 * 0.75, 1e-12);
  c.wsd_decay = spec::WsdDecay::cosine;
  EXPECT_NEAR(learning_rate_at(c, 90), 0.1 + 0.9 * 0.5, 1e-12);
  EXPECT_NEAR(learning_rate_at(c, 100), 0.1, 1e-12);
}

TEST(LearningRate, LinearGoesStraightToTheMinimum) {
  const spec::TrainingConfig c = config(spec::LrScheduleKind::linear);
  EXPECT_NEAR(learning_rate_at(c, 55), 0.55, 1e-12);
  EXPECT_NEAR(learning_rate_at(c, 100), 0.1, 1e-12);
}

TEST(LearningRate, InverseSqrtHalvesWhenTheStepsAreFourfold) {
  const spec::TrainingConfig c = config(spec::LrScheduleKind::inverse_sqrt);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 39), 0.5);      // the 40th step, four times the warmup
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 100000), 0.1);  // the minimum
}

TEST(LearningRate, OddSettingsStayFinite) {
  spec::TrainingConfig c = config(spec::LrScheduleKind::wsd);
  c.warmup_steps = 0;
  c.decay_steps = 1000;  // longer than the run: decays from the first step
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 0), 1.0);
  EXPECT_LT(learning_rate_at(c, 1), 1.0);
  c.lr_schedule = spec::LrScheduleKind::cosine;
  c.warmup_steps = 100;  // warmup is the whole run
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 99), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(c, 100), 0.1);
}

}  // namespace
}  // namespace tera::train
