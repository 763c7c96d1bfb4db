// The length of a step by the definition of a schedule, in doubles and without shortcuts: what the
// simulator is held against.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "core/plan/pipeline_schedule.h"
#include "core/plan/schedule_pairs.h"
#include "core/plan/schedule_simulator.h"

namespace tera::plan {

class ReferencePlayer {
 public:
  // A forward and the backward behind it that schedule_pairs() names are one action: it begins when
  // both inputs are there, and both results leave at its end.
  ReferencePlayer(const PipelineSchedule& schedule, const ScheduleTimes& times)
      : shape_(schedule.shape),
        times_(times),
        up_(times.links.size()),
        down_(times.links.size()),
        overlaps_steps_(schedule.overlaps_steps),
        begun_s_(schedule.stages.size(), -1),
        free_s_(schedule.stages.size(), 0) {
    const std::vector<std::vector<bool>> pairs = schedule_pairs(schedule);
    for (const StageOrder& order : schedule.stages) {
      std::vector<std::vector<PipelineAction>> groups;
      const std::vector<bool>& begins = pairs[stages_.size()];
      bool joins = false;
      const std::vector<PipelineAction> actions = actions_of(order);
      for (std::size_t i = 0; i < actions.size(); ++i) {
        if (!joins) groups.emplace_back();
        groups.back().push_back(actions[i]);
        joins = begins[i];
      }
      stages_.push_back(std::move(groups));
    }
  }

  // Negative when stages wait for ever.
  double step_s() {
    std::vector<std::size_t> next(stages_.size(), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
        while (next[stage] < stages_[stage].size() && runs(stage, stages_[stage][next[stage]])) {
          ++next[stage];
          moved = true;
        }
      }
    }
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      if (next[stage] < stages_[stage].size()) return -1;
    }
    double step_s = 0;
    for (std::size_t stage = 0; stage < stages_.size(); ++stage)
      step_s = std::max(step_s, free_s_[stage] - (overlaps_steps_ ? begun_s_[stage] : 0));
    return step_s;
  }

 private:
  using Ends = std::map<std::int64_t, double>;  // by micro-batch

  double send_s(int link) const {
    const bool stays = shape_.place(link).stage == shape_.place(link + 1).stage;
    return stays || times_.send_s.empty() ? 0 : times_.send_s[static_cast<std::size_t>(link)];
  }

  // When the input is there; nothing when it is not made yet.
  std::optional<double> input_s(const PipelineAction& action, int link) const {
    const bool up = action.work == Work::forward;
    const int from = up ? link - 1 : link + 1;
    if (action.work == Work::backward_weight || from < 0 || from == shape_.num_links()) return 0;
    const Ends& ends = (up ? up_ : down_)[static_cast<std::size_t>(from)];
    const auto end = ends.find(action.micro_batch);
    if (end == ends.end()) return std::nullopt;
    return end->second + send_s(std::min(link, from));
  }

  bool runs(std::size_t stage, const std::vector<PipelineAction>& group) {
    double end_s = free_s_[stage];
    for (const PipelineAction& action : group) {
      const auto input = input_s(action, shape_.link({static_cast<int>(stage), action.chunk}));
      if (!input) return false;
      end_s = std::max(end_s, *input);
    }
    if (begun_s_[stage] < 0) begun_s_[stage] = end_s;
    for (const PipelineAction& action : group) {
      const LinkSeconds& t = times_.links[static_cast<std::size_t>(
          shape_.link({static_cast<int>(stage), action.chunk}))];
      if (action.work == Work::forward) end_s += t.forward;
      if (action.work == Work::backward || action.work == Work::backward_input)
        end_s += t.backward_input;
      if (action.work == Work::backward || action.work == Work::backward_weight)
        end_s += t.backward_weight;
    }
    for (const PipelineAction& action : group) {
      const auto link =
          static_cast<std::size_t>(shape_.link({static_cast<int>(stage), action.chunk}));
      if (action.work == Work::forward) up_[link][action.micro_batch] = end_s;
      if (action.work == Work::backward || action.work == Work::backward_input)
        down_[link][action.micro_batch] = end_s;
    }
    free_s_[stage] = end_s;
    return true;
  }

  PipelineShape shape_;
  const ScheduleTimes& times_;
  std::vector<Ends> up_;    // [link] ends of forwards
  std::vector<Ends> down_;  // [link] ends of gradients of the input
  bool overlaps_steps_;
  std::vector<double> begun_s_;  // [stage] of the first action
  std::vector<double> free_s_;
  std::vector<std::vector<std::vector<PipelineAction>>> stages_;  // [stage] groups of actions
};

}  // namespace tera::plan
