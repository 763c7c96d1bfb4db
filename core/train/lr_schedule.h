// Learning rate as a pure function of the step: nothing to save, nothing to restore.
#pragma once
#include <cstdint>

#include "core/spec/training_config.h"

namespace tera::train {

// Learning rate of step (0-based). Linear warmup to the peak over warmup_steps, then constant,
// cosine to min_learning_rate at num_steps, or wsd: constant, and over the last decay_steps down to
// min_learning_rate as 1 - sqrt(progress). Source: Haegele et al. 2024, "Scaling laws and
// compute-optimal training beyond fixed training durations", section 3.
double learning_rate_at(const spec::TrainingConfig& config, std::int64_t step);

}  // namespace tera::train
