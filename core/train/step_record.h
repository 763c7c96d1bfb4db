// What a step leaves to be seen: the numbers of all ranks together, and the record made of them.
#pragma once
#include "core/comm/mesh_groups.h"
#include "core/run/metric_stream.h"
#include "core/spec/run_spec.h"
#include "core/train/stage_executor.h"

namespace tera::train {

// Whether this rank's losses and targets are in the sums: tensor ranks have the same tokens, and
// all of them the loss of all. What routers did each has of its own tokens.
bool counts_losses(const comm::MeshGroups& groups);

// Sums losses, targets and expert counts over all ranks, of which each has some of the layers, and
// whether any of them wishes to stop: one decision everywhere. Returns that wish.
bool sum_over_ranks(StageResult& result,
                    bool wants_to_stop,
                    comm::MeshGroups& groups,
                    Backend& backend);

// Losses, and what the routers did, layer by layer: `loss` is the mean over the step's targets.
void add_losses(const StageResult& result,
                double loss,
                const spec::RunSpec& spec,
                run::MetricRecord& record);

// [layer] tokens of each expert; empty for a layer without experts.
std::vector<std::vector<std::int64_t>> expert_counts(const StageResult& result);

}  // namespace tera::train
