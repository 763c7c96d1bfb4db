// Layouts with two stages, of every schedule.
#pragma once
#include "tests/core/plan/schedules.h"

namespace tera::train::test {

// Three layers, uneven on two stages; where a stage has two chunks the ends count as layers, too.
inline void cut(spec::ParallelLayout& layout, spec::ScheduleKind schedule) {
  layout.pipeline_parallel_size = 2;
  layout.schedule = schedule;
  layout.virtual_stages = plan::default_chunks(schedule);
  layout.ends_count_as_layers = layout.virtual_stages > 1;
}

}  // namespace tera::train::test
