#include "core/plan/schedule_pairs.h"

#include "core/base/check.h"
#include "core/plan/schedule_simulator.h"

namespace tera::plan {

std::vector<std::vector<bool>> schedule_pairs(const PipelineSchedule& schedule) {
  std::vector<std::vector<bool>> pairs;
  if (!schedule.shape.in_pairs) {
    for (const StageOrder& order : schedule.stages)
      pairs.emplace_back(actions_of(order).size(), false);
    return pairs;
  }
  const auto links = static_cast<std::size_t>(schedule.shape.num_links());
  const Result<Timeline> played =
      play_in_full(schedule, {.links = std::vector<LinkSeconds>(links), .send_s = {}});
  TERA_CHECK(played, "{}", played.error().message);
  for (const std::vector<PlayedAction>& stage : played->stages) {
    std::vector<bool>& begins = pairs.emplace_back();
    for (const PlayedAction& action : stage)
      begins.push_back(action.begins_pair);
  }
  return pairs;
}

}  // namespace tera::plan
