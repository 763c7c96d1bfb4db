// PipelineSchedule: the ordered work of every stage, as data. The simulator plays it, the trainer
// executes it, the GUI draws it.
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/result.h"
#include "core/spec/parallel_layout.h"

namespace tera::plan {

enum class Work : std::uint8_t { forward, backward };

struct PipelineAction {
  Work work = Work::forward;
  int chunk = 0;        // model chunk on this rank, 0 .. virtual_stages - 1
  int micro_batch = 0;  // 0 .. num_micro_batches - 1
  bool operator==(const PipelineAction&) const = default;
};
using PipelineSchedule = std::vector<std::vector<PipelineAction>>;  // [pipeline rank][order]

PipelineSchedule make_gpipe(int num_stages, int num_micro_batches);
PipelineSchedule make_1f1b(int num_stages, int num_micro_batches);
PipelineSchedule make_schedule(spec::ScheduleKind kind, int num_stages, int num_micro_batches);

struct SimulatedStep {
  double step_s = 0;
  double bubble_ratio = 0;          // idle share of the busiest stage's timeline
  std::vector<int> peak_in_flight;  // [stage] most micro-batches forwarded and not yet backwarded
};
// Plays the schedule with the given durations per stage; an error names the stage that deadlocks.
Result<SimulatedStep> simulate(const PipelineSchedule& schedule,
                               const std::vector<double>& forward_s,
                               const std::vector<double>& backward_s);

}  // namespace tera::plan
