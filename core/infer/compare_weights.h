// Two sets of weights of one model, compared by the logits they give for eight fixed prompts.
#pragma once
#include <cstdint>
#include <functional>

#include "core/base/result.h"
#include "core/nn/param_store.h"
#include "core/spec/model_config.h"

namespace tera::infer {

inline constexpr int kNumProbes = 8;

using WeightLoader = std::function<Result<void>(nn::ParamStore&)>;
// Called after every prompt of either side; false stops with an error.
using CompareProgress = std::function<bool(std::int64_t done, std::int64_t total)>;

struct LogitDifference {
  double max_abs_diff = 0;
  double max_abs = 0;  // of the first set
};

// Prompts are 1 to 16 token ids drawn from a fixed seed; the logits after every token are compared.
// One model is in memory at a time. Errors: those of the loaders, and logits that are not finite.
Result<LogitDifference> compare_weights(const spec::ModelConfig& model,
                                        DType compute,
                                        int num_threads,
                                        const WeightLoader& first,
                                        const WeightLoader& second,
                                        const CompareProgress& progress = {});

}  // namespace tera::infer
