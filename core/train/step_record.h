// What a step leaves to be seen: the numbers of all ranks together, and the record made of them.
#pragma once
#include "core/comm/communicator.h"
#include "core/run/metric_stream.h"
#include "core/spec/run_spec.h"
#include "core/train/stage_executor.h"

namespace tera::train {

// Sums losses, targets and expert counts over all ranks, of which each has some of the layers, and
// whether any of them wishes to stop: one decision everywhere. Returns that wish.
bool sum_over_ranks(StageResult& result,
                    bool wants_to_stop,
                    comm::Communicator& world,
                    Backend& backend);

// Losses, and what the routers did, layer by layer: `loss` is the mean over the step's targets.
void add_losses(const StageResult& result,
                double loss,
                const spec::RunSpec& spec,
                run::MetricRecord& record);

// [layer] tokens of each expert; empty for a layer without experts.
std::vector<std::vector<std::int64_t>> expert_counts(const StageResult& result);

}  // namespace tera::train
