#include "core/spec/step_samples.h"

#include <algorithm>

namespace tera::spec {
namespace {

// A level of the ramp, or what comes after it, and how many of its steps lie before the one asked
// for.
struct Level {
  std::int64_t first = 0;  // sample
  std::int64_t size = 0;   // sequences of each step
  std::int64_t steps = 0;
};

Level level_of(const TrainingConfig& training, std::int64_t step) {
  const std::int64_t whole = training.global_batch_size;
  Level level{.first = 0, .size = whole, .steps = step};
  if (!training.has_batch_ramp()) return level;
  const std::int64_t levels = (whole - training.rampup_batch_size + training.rampup_increment - 1) /
                              training.rampup_increment;
  const std::int64_t samples =
      (training.rampup_tokens + training.seq_length - 1) / training.seq_length;
  level.size = training.rampup_batch_size;
  for (std::int64_t k = 1; k <= levels; ++k, level.size += training.rampup_increment) {
    const std::int64_t end = samples / levels * k + samples % levels * k / levels;
    const std::int64_t steps =
        std::max<std::int64_t>(0, (end - level.first + level.size - 1) / level.size);
    if (level.steps < steps) return level;
    level.first += steps * level.size;
    level.steps -= steps;
  }
  level.size = whole;
  return level;
}

}  // namespace

StepSamples step_samples(const TrainingConfig& training, std::int64_t step) {
  const Level level = level_of(training, step);
  return {level.first + level.steps * level.size, level.size};
}

double tokens_before(const TrainingConfig& training, std::int64_t step) {
  const Level level = level_of(training, step);
  return (static_cast<double>(level.first) +
          static_cast<double>(level.steps) * static_cast<double>(level.size)) *
         training.seq_length;
}

}  // namespace tera::spec
