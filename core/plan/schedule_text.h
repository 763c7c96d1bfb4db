// A schedule as text that people write, and as a picture of when what runs.
#pragma once
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/schedule_simulator.h"

namespace tera::plan {

// One line per stage, in order; actions between spaces: F3 forward of micro-batch 3, BW3 its
// backward, or B3 (of the input) and W3 (of the weights); with several chunks per stage F3.1 is
// chunk 1. `#` begins a comment; empty lines do not count.
std::string schedule_text(const PipelineSchedule& schedule);
// Errors name line and column; the result passes check_schedule. file: for messages.
Result<PipelineSchedule> parse_schedule(std::string_view text,
                                        const PipelineShape& shape,
                                        std::string_view file);

// The beginning of a step in which an action has two columns on average; all of a short step.
double drawable_s(const Timeline& timeline, int width);
// That much of the step, one line per stage, time from left to right over `width` columns: the
// letter of what runs (F of chunk 0, f of later ones, B, b and W, w alike), the number of the
// micro-batch where it fits, and dots where the stage waits.
std::string schedule_grid(const Timeline& timeline, int width);

}  // namespace tera::plan
