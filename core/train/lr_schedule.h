// Learning rate as a pure function of the step: nothing to save, nothing to restore.
#pragma once
#include <cstdint>

#include "core/spec/training_config.h"

namespace tera::train {

// Learning rate of step (0-based). Linear warmup to the peak over warmup_steps, then constant;
// cosine or linear to min_learning_rate at num_steps; inverse_sqrt: peak sqrt(warmup_steps / step),
// at least min_learning_rate (Vaswani et al. 2017, section 5.3); or wsd: constant, and over the
// last decay_steps down to min_learning_rate in the shape of wsd_decay. Source: Haegele et al.
// 2024, "Scaling laws and compute-optimal training beyond fixed training durations", section 3.
double learning_rate_at(const spec::TrainingConfig& config, std::int64_t step);

}  // namespace tera::train
