// Seconds of one optimizer step, as a tree of explained terms: work of the busiest stage, messages,
// idle time of the pipeline, gradients, update.
#pragma once
#include "core/plan/fitted_times.h"
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
  double busy_share = 0;  // of the step in which the busiest stage computes
};
// schedule: of the spec, or one of the same shape that a person wrote. Errors: its deadlock.
Result<StepPlan> plan_step(const spec::RunSpec& spec,
                           const RankMesh& mesh,
                           const PipelineSchedule& schedule,
                           const FittedTimes& fitted = {});

}  // namespace tera::plan
