#include "core/plan/schedule_messages.h"

namespace tera::plan {

std::optional<StageMessage> given_by(const PipelineShape& shape,
                                     int stage,
                                     const PipelineAction& action) {
  const int link = shape.link({stage, action.chunk});
  switch (action.work) {
    case Work::forward:
      if (link + 1 == shape.num_links()) return std::nullopt;
      return StageMessage{link + 1, false, action.micro_batch};
    case Work::backward:
    case Work::backward_input:
      if (link == 0) return std::nullopt;
      return StageMessage{link - 1, true, action.micro_batch};
    case Work::backward_weight:
      break;
  }
  return std::nullopt;
}

std::optional<StageMessage> needed_by(const PipelineShape& shape,
                                      int stage,
                                      const PipelineAction& action) {
  const int link = shape.link({stage, action.chunk});
  switch (action.work) {
    case Work::forward:
      if (link == 0) return std::nullopt;
      return StageMessage{link, false, action.micro_batch};
    case Work::backward:
    case Work::backward_input:
      if (link + 1 == shape.num_links()) return std::nullopt;
      return StageMessage{link, true, action.micro_batch};
    case Work::backward_weight:
      break;
  }
  return std::nullopt;
}

int sender_of(const PipelineShape& shape, const StageMessage& message) {
  return shape.place(message.is_gradient ? message.to_link + 1 : message.to_link - 1).stage;
}

std::vector<StageMessage> messages_between(const PipelineSchedule& schedule, int from, int to) {
  std::vector<StageMessage> messages;
  for (const PipelineAction& action : actions_of(schedule.stages[static_cast<std::size_t>(from)])) {
    const std::optional<StageMessage> given = given_by(schedule.shape, from, action);
    if (given && schedule.shape.place(given->to_link).stage == to) messages.push_back(*given);
  }
  return messages;
}

}  // namespace tera::plan
