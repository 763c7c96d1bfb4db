// Which actions of a schedule run in turns with the one behind them.
#pragma once
#include <vector>

#include "core/plan/pipeline_schedule.h"

namespace tera::plan {

// [stage][action, as actions_of] whether it and the next are a pair, as schedule_simulator.h plays
// them: none at all where the shape is not in pairs. The schedule must pass check_schedule.
std::vector<std::vector<bool>> schedule_pairs(const PipelineSchedule& schedule);

}  // namespace tera::plan
