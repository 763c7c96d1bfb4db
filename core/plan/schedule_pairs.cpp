#include "core/plan/schedule_pairs.h"

#include <cstddef>
#include <set>

#include "core/plan/schedule_messages.h"

namespace tera::plan {
namespace {

using Actions = std::vector<PipelineAction>;

std::vector<bool> candidates(const Actions& actions) {
  std::vector<bool> begins(actions.size(), false);
  for (std::size_t i = 1; i < actions.size(); ++i) {
    const PipelineAction& first = actions[i - 1];
    const PipelineAction& second = actions[i];
    begins[i - 1] = first.work == Work::forward && first.micro_batch != second.micro_batch &&
                    (second.work == Work::backward || second.work == Work::backward_input);
  }
  return begins;
}

// Runs the actions of all stages in order, without times.
class Player {
 public:
  explicit Player(const PipelineSchedule& schedule) : shape_(schedule.shape) {
    for (const StageOrder& order : schedule.stages) {
      stages_.push_back({.actions = actions_of(order), .pairs = {}, .next = 0});
      stages_.back().pairs = candidates(stages_.back().actions);
    }
  }

  std::vector<std::vector<bool>> pairs() {
    do {
      while (move_on()) {
      }
    } while (take_a_pair_apart());
    std::vector<std::vector<bool>> pairs;
    for (Stage& stage : stages_)
      pairs.push_back(std::move(stage.pairs));
    return pairs;
  }

 private:
  struct Stage {
    Actions actions;
    std::vector<bool> pairs;
    std::size_t next = 0;

    bool is_done() const { return next == actions.size(); }
    std::size_t end() const { return next + (pairs[next] ? 2 : 1); }  // of what begins together
  };

  // Every stage as far as it gets; false when none got anywhere.
  bool move_on() {
    bool moved = false;
    for (std::size_t number = 0; number < stages_.size(); ++number) {
      Stage& stage = stages_[number];
      while (!stage.is_done() && is_ready(static_cast<int>(number), stage)) {
        for (const std::size_t end = stage.end(); stage.next < end; ++stage.next) {
          const auto given = given_by(shape_, static_cast<int>(number), stage.actions[stage.next]);
          if (given) sent_.insert(*given);
        }
        moved = true;
      }
    }
    return moved;
  }

  bool is_ready(int number, const Stage& stage) const {
    for (std::size_t i = stage.next; i < stage.end(); ++i) {
      const auto needed = needed_by(shape_, number, stage.actions[i]);
      if (needed && sent_.count(*needed) == 0) return false;
    }
    return true;
  }

  bool take_a_pair_apart() {
    for (Stage& stage : stages_) {
      if (stage.is_done() || !stage.pairs[stage.next]) continue;
      stage.pairs[stage.next] = false;
      return true;
    }
    return false;
  }

  PipelineShape shape_;
  std::vector<Stage> stages_;
  std::set<StageMessage> sent_;
};

}  // namespace

std::vector<std::vector<bool>> schedule_pairs(const PipelineSchedule& schedule) {
  if (schedule.shape.in_pairs) return Player(schedule).pairs();
  std::vector<std::vector<bool>> none;
  for (const StageOrder& order : schedule.stages)
    none.emplace_back(actions_of(order).size(), false);
  return none;
}

}  // namespace tera::plan
