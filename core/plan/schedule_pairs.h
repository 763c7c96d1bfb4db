// Which actions of a schedule run in turns with the one behind them.
#pragma once
#include <vector>

#include "core/plan/pipeline_schedule.h"

namespace tera::plan {

// [stage][action, as actions_of] whether it and the next are a pair: a forward, and of another
// micro-batch the backward, whole or of the input, that stands behind it. Both begin when what
// either needs is there; where a stage would so wait for ever, its next pair is none. None at all
// where the shape is not in pairs. The schedule must pass check_schedule.
std::vector<std::vector<bool>> schedule_pairs(const PipelineSchedule& schedule);

}  // namespace tera::plan
