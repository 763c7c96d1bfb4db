// Schedules the plan tests go through.
#pragma once
#include <array>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/plan/pipeline_schedule.h"
#include "core/plan/schedule_simulator.h"

namespace tera::plan {

using spec::ScheduleKind;
inline constexpr std::array kScheduleKinds = {
    ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved, ScheduleKind::zb_h1,
    ScheduleKind::zb_h2, ScheduleKind::zb_v,        ScheduleKind::dualpipe_v};

inline int default_chunks(ScheduleKind kind) {
  return kind == ScheduleKind::interleaved || spec::runs_in_v(kind) ? 2 : 1;
}

// The nearest number of micro-batches from `count` up that the kind allows.
inline std::int64_t legal_count(ScheduleKind kind, int stages, std::int64_t count) {
  if (kind == ScheduleKind::interleaved) return (count + stages - 1) / stages * stages;
  if (kind == ScheduleKind::dualpipe_v) return std::max<std::int64_t>(count, 2 * stages);
  return count;
}

inline PipelineSchedule schedule_of(ScheduleKind kind,
                                    int stages,
                                    std::int64_t count,
                                    int chunks = 0) {
  return make_schedule(kind, {.num_stages = stages,
                              .num_chunks = chunks > 0 ? chunks : default_chunks(kind),
                              .num_micro_batches = legal_count(kind, stages, count)});
}

inline PipelineSchedule in_pairs(ScheduleKind kind, int stages, std::int64_t count) {
  PipelineShape shape = schedule_of(kind, stages, count).shape;
  shape.in_pairs = true;
  return make_schedule(kind, shape);
}

// Every link takes the same.
inline ScheduleTimes equal_times(const PipelineShape& shape, LinkSeconds seconds) {
  return {.links = std::vector<LinkSeconds>(static_cast<std::size_t>(shape.num_links()), seconds),
          .send_s = {}};
}

inline std::string name_of(ScheduleKind kind, const PipelineShape& shape) {
  return fmt::format("{} p {} v {} m {}", enum_name(kind), shape.num_stages, shape.num_chunks,
                     shape.num_micro_batches);
}

}  // namespace tera::plan
