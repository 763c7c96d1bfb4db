// Seconds of one micro-batch on every stage of a pipeline.
#pragma once
#include <vector>

#include "core/plan/layer_cost.h"
#include "core/plan/param_groups.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/schedule_simulator.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct StageTimes {
  std::vector<PassCost> passes;  // [stage], of all its chunks
  ScheduleTimes schedule;
  int busiest = 0;
  LocalParams busiest_params;  // of one rank of it
  const PassCost& busiest_pass() const { return passes[static_cast<std::size_t>(busiest)]; }
};
StageTimes stage_times(const spec::RunSpec& spec, const RankMesh& mesh, const LayerCost& cost);

// What the simulator plays: seconds of each link of the pipeline, and of a message between stages.
ScheduleTimes schedule_times(const spec::RunSpec& spec, const RankMesh& mesh);

}  // namespace tera::plan
