// The scale of the loss of fp16: when it grows, when it is cut, and that a run lives through it.
#include "core/train/loss_scaler.h"

#include <cmath>

#include "tests/core/train/trainer_fixture.h"

namespace tera::train {
namespace {

spec::TrainingConfig half(std::int64_t interval) {
  spec::TrainingConfig config;
  config.precision = spec::Precision::fp16;
  config.initial_loss_scale = 64;
  config.loss_scale_growth_interval = interval;
  config.loss_scale_backoff = 0.25;
  return config;
}

TEST(LossScaler, DoublesAfterGoodStepsInARow) {
  LossScaler scaler(half(3));
  for (const double expected : {64, 64, 64, 128, 128, 128, 256}) {
    EXPECT_EQ(scaler.scale(), expected);
    scaler.update(true);
  }
}

TEST(LossScaler, CutsAfterAnOverflowAndCountsAnew) {
  LossScaler scaler(half(2));
  scaler.update(true);
  scaler.update(false);
  EXPECT_EQ(scaler.scale(), 16);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 16);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 32);
  EXPECT_FALSE(scaler.exhausted());
  for (int i = 0; i < 16; ++i)
    scaler.update(false);
  EXPECT_TRUE(scaler.exhausted());
}

TEST(LossScaler, OtherPrecisionsHaveNone) {
  LossScaler scaler{spec::TrainingConfig()};
  scaler.update(false);
  EXPECT_FALSE(scaler.active());
  EXPECT_EQ(scaler.scale(), 1);
}

using HalfPrecision = test::TrainerTest;

TEST_F(HalfPrecision, ARunFindsItsScaleAndResumesInTheMiddleOfIt) {
  spec::RunSpec spec = small_spec();
  spec.training.precision = spec::Precision::fp16;
  spec.training.initial_loss_scale = 0x1p+28;  // gradients of the logits beyond 65504
  spec.training.loss_scale_growth_interval = 3;
  const run::RunDirectory whole = create(spec);
  EXPECT_EQ(run(whole), TrainEnd::completed);
  const auto found = records(whole);
  EXPECT_EQ(found.at(1).value("loss_scale", 0), 0x1p+28);
  double scale = 0x1p+28;
  int good = 0;
  int left_out = 0;
  for (const auto& [step, record] : found) {
    EXPECT_EQ(record.value("loss_scale", 0), scale) << step;
    const bool skipped = record.value("skipped", -1) == 1;
    EXPECT_EQ(skipped, !std::isfinite(record.value("grad_norm", 0))) << step;
    left_out += skipped ? 1 : 0;
    good = skipped ? 0 : good + 1;
    if (skipped) scale *= 0.5;
    if (good == 3) {
      scale *= 2;
      good = 0;
    }
  }
  EXPECT_GT(left_out, 2);
  EXPECT_LT(left_out, 12);
  const run::RunDirectory parts = create(spec);
  EXPECT_EQ(run(parts, {.stop_at_step = 2}), TrainEnd::stopped);
  EXPECT_EQ(run(parts, {.resume = true, .stop_at_step = 9}), TrainEnd::stopped);
  EXPECT_EQ(run(parts, {.resume = true}), TrainEnd::completed);
  EXPECT_EQ(final_tensors(parts), final_tensors(whole));
}

// Where nothing overflows the scale is a power of two that comes out again: the same training.
TEST_F(HalfPrecision, TheScaleDoesNotChangeTheTraining) {
  spec::RunSpec spec = small_spec();
  spec.training.precision = spec::Precision::fp16;
  std::map<std::int64_t, double> losses;
  for (const double scale : {1024.0, 4096.0}) {
    spec.training.initial_loss_scale = scale;
    const run::RunDirectory dir = create(spec);
    run(dir);
    for (const auto& [step, record] : records(dir)) {
      EXPECT_EQ(record.value("skipped", -1), 0);
      // Only gradients below the smallest half precision number, 6e-8 over the scale, may differ.
      const auto [at, first] = losses.emplace(step, record.value("loss", 0));
      EXPECT_NEAR(at->second, record.value("loss", 0), 2e-3) << step;
    }
  }
}

}  // namespace
}  // namespace tera::train
