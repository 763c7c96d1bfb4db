// Bytes one rank of each pipeline stage needs, as trees of explained terms. With every size 1 the
// first four kinds equal what the engine allocates, to the byte.
#pragma once
#include <cstdint>
#include <vector>

#include "core/plan/pipeline_schedule.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct StageMemory {
  int stage = 0;
  Term memory;  // children: weights, gradients, optimizer, activations, workspace, reserved
  double bytes() const { return memory.value; }
};

// Activations are those of the moment when the order of a stage holds most.
std::vector<StageMemory> plan_memory(const spec::RunSpec& spec,
                                     const RankMesh& mesh,
                                     const PipelineSchedule& schedule);

}  // namespace tera::plan
