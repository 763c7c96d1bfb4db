// Bytes one rank of each pipeline stage needs, as trees of explained terms. With every size 1 the
// first four kinds equal what the engine allocates, to the byte.
#pragma once
#include <cstdint>
#include <vector>

#include "core/plan/rank_mesh.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct StageMemory {
  int stage = 0;
  Term memory;  // children: weights, gradients, optimizer, activations, workspace, reserved
  double bytes() const { return memory.value; }
};

// in_flight: micro-batches each stage holds at most, from the simulated schedule.
std::vector<StageMemory> plan_memory(const spec::RunSpec& spec,
                                     const RankMesh& mesh,
                                     const std::vector<int>& in_flight);

// Trainable elements one rank keeps gradients for, those it updates (its ZeRO shard), and the work
// of the update.
struct LocalParams {
  double dense = 0;
  double experts = 0;
  double updated = 0;
  double update_bytes = 0;
  double update_flops = 0;
};
LocalParams local_params(const spec::RunSpec& spec, const RankMesh& mesh, int stage);

}  // namespace tera::plan
