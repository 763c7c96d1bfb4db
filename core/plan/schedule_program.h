// A schedule and its times as the simulator runs them: operations of whole ticks, between
// mailboxes.
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/result.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/schedule_simulator.h"

namespace tera::plan {

using Ticks = std::int64_t;  // whole, so that comparing and repeating are exact

// An action of a loop's body, ready to run.
struct Op {
  std::int64_t micro_batch = 0;  // in the first turn
  std::int64_t shift = 0;        // per turn
  Ticks duration = 0;
  Ticks send = 0;
  int inbox = -1;   // mailbox its input comes from; -1: from this stage's own past
  int outbox = -1;  // mailbox of who needs its output; -1: nobody on another link
};

struct ScheduleProgram {
  std::vector<Op> ops;
  std::vector<std::vector<std::size_t>> first_op;  // [stage][loop]
  std::size_t num_mailboxes = 0;
  std::vector<Ticks> busy;       // [stage] of all its work
  int ticks_per_s_exponent = 0;  // of two

  double to_seconds(Ticks ticks) const;
};

// Errors: times of another shape.
Result<ScheduleProgram> make_program(const PipelineSchedule& schedule, const ScheduleTimes& times);

}  // namespace tera::plan
