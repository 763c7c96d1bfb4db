// What the stages of a schedule send each other: activations up the chain of links, gradients down.
//
// What one stage sends another arrives in the order sent, whatever the receiver needs first. Both
// know the order beforehand, since it follows from the sender's actions: a receiver takes messages
// in that order and puts aside what it needs later. A send never waits, so a message is there once
// the sender has run all its actions up to the one that sends it, and a schedule that passes
// check_schedule comes to its end.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/plan/pipeline_schedule.h"

namespace tera::plan {

struct StageMessage {
  int to_link = 0;  // that needs it
  bool is_gradient = false;
  std::int64_t micro_batch = 0;
  auto operator<=>(const StageMessage&) const = default;
};

// What an action of a stage gives to a neighbouring link, or needs from one: nothing at the ends of
// the chain and between the halves of a backward. The neighbour may be on the same stage.
std::optional<StageMessage> given_by(const PipelineShape& shape,
                                     int stage,
                                     const PipelineAction& action);
std::optional<StageMessage> needed_by(const PipelineShape& shape,
                                      int stage,
                                      const PipelineAction& action);
// The stage that gives a message.
int sender_of(const PipelineShape& shape, const StageMessage& message);

// What a stage sends another one in a step, in order.
std::vector<StageMessage> messages_between(const PipelineSchedule& schedule, int from, int to);

}  // namespace tera::plan
