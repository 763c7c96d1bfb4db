// Plays a schedule event by event: when each action runs, how long the step takes, who waits.
//
// Where the shape is in pairs, a forward and, of another micro-batch, the whole backward behind it
// begin when what either needs is there, are played one after the other (their times say what they
// save), and give what they have to give when both have ended. Where all stages would so wait for
// ever, the first forward that has its input runs alone. DeepSeek 2025, DualPipe: F&B.
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/result.h"
#include "core/plan/pipeline_schedule.h"

namespace tera::plan {

// Seconds of one micro-batch on one link of the chain; a whole backward takes both halves.
struct LinkSeconds {
  double forward = 0;
  double backward_input = 0;
  double backward_weight = 0;
};
struct ScheduleTimes {
  std::vector<LinkSeconds> links;  // [link]
  // [link], of a message from a link to the next, or back; links of one stage send none. It travels
  // beside the work of both stages. Empty: no time.
  std::vector<double> send_s;
};

struct PlayedAction {
  PipelineAction action;
  double start_s = 0;
  double end_s = 0;
  bool begins_pair = false;  // with the next one
};
struct PlayedStep {
  double step_s = 0;           // until the last stage is done; from step to step of a stage where
                               // the schedule lets steps overlap
  double bubble_ratio = 0;     // share of the step in which the busiest stage is idle
  std::vector<double> busy_s;  // [stage]
};

// In time that does not depend on the repeats of loops: as soon as every action of every stage
// comes later by the same from turn to turn, turns are skipped up to the next point where another
// stage becomes the one that is waited for. Exact: equal to the tick with every turn played (a tick
// is at most 2^-60 of all work). The actions must be those of check_schedule. Errors: times of
// another shape; a deadlock, naming the stage.
Result<PlayedStep> play(const PipelineSchedule& schedule, const ScheduleTimes& times);

// Every action with its times, [stage]; idle time is what lies between.
struct Timeline {
  PlayedStep step;
  std::vector<std::vector<PlayedAction>> stages;
};
Result<Timeline> play_in_full(const PipelineSchedule& schedule, const ScheduleTimes& times);

}  // namespace tera::plan
