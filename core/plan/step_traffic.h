// What one rank says to others in a training step, by axis and operation: the messages that the
// engine counts (comm/traffic.h), to the byte.
//
// All of it follows from spec and layout but what goes to experts: that follows from how many rows
// each rank has for each expert (exchange_plan.h), which the router decides. Of given counts it is
// exact; without them each rank is taken to have as many rows for every expert, or one more.
#pragma once
#include <cstdint>
#include <vector>

#include "core/plan/message_tally.h"
#include "core/plan/rank_mesh.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Rows of every rank of the block that shares out the experts, for every expert: [ranks, E].
using ExpertCounts = std::vector<std::int64_t>;
// Of a micro-batch in which no expert is liked more than another.
ExpertCounts even_counts(const spec::RunSpec& spec);

// Of one step, over groups of several ranks; those without a call are left out. exchanges: of this
// rank, for every layer with experts that it holds and every micro-batch, in any order. The
// schedule of the spec must load.
std::vector<PlannedMessages> step_traffic(const spec::RunSpec& spec,
                                          const RankMesh& mesh,
                                          int rank,
                                          const std::vector<ExpertCounts>& exchanges);
// At even load.
std::vector<PlannedMessages> step_traffic(const spec::RunSpec& spec,
                                          const RankMesh& mesh,
                                          int rank);

}  // namespace tera::plan
