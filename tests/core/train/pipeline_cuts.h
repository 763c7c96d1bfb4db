// Layouts with several stages, of every schedule.
#pragma once
#include "tests/core/plan/schedules.h"

namespace tera::train::test {

// Where a stage has two chunks the ends count as layers, too, so that three layers are enough for
// two stages.
inline void cut(spec::ParallelLayout& layout, spec::ScheduleKind schedule, int stages = 2) {
  layout.pipeline_parallel_size = stages;
  layout.schedule = schedule;
  layout.virtual_stages = plan::default_chunks(schedule);
  layout.ends_count_as_layers = layout.virtual_stages > 1;
}

}  // namespace tera::train::test
