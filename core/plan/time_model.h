// Seconds of one optimizer step, as a tree of explained terms: work of the busiest stage, messages,
// idle time of the pipeline, gradients, update.
#pragma once
#include <vector>

#include "core/plan/pipeline_schedule.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct StepPlan {
  Term step_time;  // children: compute, communication, bubble, optimizer
  double step_s = 0;
  double low_s = 0;  // likely range
  double high_s = 0;
  double busy_share = 0;       // of the step in which the busiest stage computes
  std::vector<int> in_flight;  // [stage] micro-batches held at most
};
StepPlan plan_step(const spec::RunSpec& spec, const RankMesh& mesh);

// The step of a schedule of any length in bounded time: steps with many micro-batches are simulated
// up to the steady state, which then repeats at the pace of the busiest stage. Exact when every
// stage takes the same time (tested), an upper bound within a micro-batch otherwise.
SimulatedStep play_schedule(spec::ScheduleKind kind,
                            std::int64_t num_micro_batches,
                            const std::vector<double>& forward_s,
                            const std::vector<double>& backward_s);

}  // namespace tera::plan
