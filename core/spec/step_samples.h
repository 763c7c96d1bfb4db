// Which samples of the training order a step has: a pure function of the spec, so that a batch that
// grows during a run changes neither the order nor what a resume needs to know.
#pragma once
#include <cstdint>

#include "core/spec/training_config.h"

namespace tera::spec {

struct StepSamples {
  std::int64_t first = 0;  // of the whole run
  std::int64_t count = 0;  // sequences of the step
};

// The samples of step (0-based). Without a ramp every step has global_batch_size. With one the batch
// starts at rampup_batch_size and grows by rampup_increment at equal distances of samples, so that it
// is whole after rampup_tokens. A step begun with one size is finished with it.
// Source of the rule: Narayanan et al. 2021 (Megatron-LM), --rampup-batch-size.
StepSamples step_samples(const TrainingConfig& training, std::int64_t step);

// Tokens of the steps before `step`; as a double, since a planned run may have more than 2^63.
double tokens_before(const TrainingConfig& training, std::int64_t step);

}  // namespace tera::spec
