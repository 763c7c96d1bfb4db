#include "core/plan/schedule_simulator.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

#include "core/plan/schedule_check.h"
#include "core/plan/schedule_program.h"
#include "core/plan/schedule_rounds.h"

namespace tera::plan {
namespace {

class Player {
 public:
  // timeline: where every action goes, all turns being played; null: only the end counts.
  Player(const PipelineSchedule& schedule,
         ScheduleProgram program,
         std::vector<std::vector<PlayedAction>>* timeline)
      : schedule_(schedule),
        program_(std::move(program)),
        timeline_(timeline),
        history_(schedule),
        left_(schedule.stages.size()) {
    state_.stages.resize(schedule.stages.size());
    state_.mailboxes.resize(program_.num_mailboxes);
    for (std::size_t stage = 0; stage < state_.stages.size(); ++stage)
      state_.stages[stage].next.skip_empty(schedule.stages[stage]);
    if (timeline_ != nullptr) timeline_->resize(state_.stages.size());
  }

  Result<PlayedStep> run() {
    while (!is_finished()) {
      if (play_round()) {
        if (timeline_ == nullptr) history_.skip_turns(state_);
      } else if (!take_a_pair_apart()) {
        return tl::unexpected<Error>(stuck());
      }
    }
    return result();
  }

 private:
  bool is_done(std::size_t stage) const {
    return state_.stages[stage].next.is_done(schedule_.stages[stage]);
  }
  bool is_finished() const {
    for (std::size_t stage = 0; stage < state_.stages.size(); ++stage) {
      if (!is_done(stage)) return false;
    }
    return true;
  }

  // One turn of its loop for every stage, as far as inputs come. False when nothing could run.
  bool play_round() {
    Round& round = history_.begin_round();
    state_.round += 1;
    const std::size_t count = state_.stages.size();
    for (std::size_t stage = 0; stage < count; ++stage) {
      const StageOrder& order = schedule_.stages[stage];
      left_[stage] = is_done(stage) ? 0 : order[state_.stages[stage].next.loop].body.size();
    }
    // Up the stages and down again, as activations and gradients travel, until all wait.
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t i = 0; i < 2 * count; ++i) {
        const std::size_t stage = i < count ? i : 2 * count - 1 - i;
        while (left_[stage] > 0 && !is_done(stage)) {
          const std::size_t played = play_next(stage, round);
          if (played == 0) break;
          left_[stage] -= std::min(left_[stage], played);  // a pair may reach into the next turn
          moved = true;
        }
      }
    }
    for (const PlayState::Stage& stage : state_.stages)
      round.cursors.push_back(stage.next);
    return !round.ops.empty();
  }

  // The next action of a stage, or the next two of a pair, at once or not at all: how many ran.
  std::size_t play_next(std::size_t index, Round& round) {
    PlayState::Stage& stage = state_.stages[index];
    const std::array<Cursor, 2> at{stage.next, behind(index, stage.next)};
    const std::size_t count = begins_pair(index, at) ? 2 : 1;
    if (count == 2 && !(has_input(index, at[0]) && has_input(index, at[1]))) return 0;
    const std::size_t first = round.ops.size();
    Ticks start = stage.free_at;
    for (std::size_t i = 0; i < count; ++i) {
      const std::optional<Ticks> arrival = take_input(index, at[i], start, round);
      if (!arrival) return 0;
      start = std::max(start, *arrival);
    }
    Ticks end = start;
    for (std::size_t i = 0; i < count; ++i) {
      note(index, at[i], count == 2 && i == 0, end);
      end += op(index, at[i]).duration;
    }
    for (std::size_t i = 0; i < count; ++i)
      give_output(index, at[i], {state_.round, first + i}, end, round);
    if (!stage.started) stage.begun_at = start;
    stage.started = true;
    stage.free_at = end;
    stage.last = {state_.round, first + count - 1};
    stage.apart = false;
    stage.next = count == 2 ? behind(index, at[1]) : at[1];
    return count;
  }

  Cursor behind(std::size_t stage, Cursor at) const {
    if (!at.is_done(schedule_.stages[stage])) at.advance(schedule_.stages[stage]);
    return at;
  }
  std::size_t id(std::size_t stage, const Cursor& at) const {
    return program_.first_op[stage][at.loop] + at.at;
  }
  const Op& op(std::size_t stage, const Cursor& at) const { return program_.ops[id(stage, at)]; }
  std::int64_t micro_batch(std::size_t stage, const Cursor& at) const {
    return op(stage, at).micro_batch + at.turn * op(stage, at).shift;
  }

  bool begins_pair(std::size_t index, const std::array<Cursor, 2>& at) const {
    if (!schedule_.shape.in_pairs || state_.stages[index].apart ||
        at[1].is_done(schedule_.stages[index]))
      return false;
    const auto work = [&](const Cursor& cursor) {
      return schedule_.stages[index][cursor.loop].body[cursor.at].work;
    };
    return work(at[0]) == Work::forward && work(at[1]) == Work::backward &&
           micro_batch(index, at[0]) != micro_batch(index, at[1]);
  }

  bool has_input(std::size_t stage, const Cursor& at) const {
    const int box = op(stage, at).inbox;
    return box < 0 || state_.mailboxes[static_cast<std::size_t>(box)].holds(micro_batch(stage, at));
  }

  // When it arrives; without a message nothing can be waited for, now or later.
  std::optional<Ticks> take_input(std::size_t stage,
                                  const Cursor& at,
                                  Ticks free_at,
                                  Round& round) {
    const int box = op(stage, at).inbox;
    if (box < 0) {
      round.ops.push_back(id(stage, at));
      round.gaps.push_back(std::numeric_limits<Ticks>::min());
      return free_at;
    }
    const auto message =
        state_.mailboxes[static_cast<std::size_t>(box)].take(micro_batch(stage, at));
    if (!message) return std::nullopt;
    round.longest_wait = std::max(round.longest_wait, state_.round - message->sent.round);
    round.ops.push_back(id(stage, at));
    round.gaps.push_back(message->arrival - free_at);
    return message->arrival;
  }

  void give_output(
      std::size_t stage, const Cursor& at, const Moment& now, Ticks end, Round& round) {
    round.ends.push_back(end);
    const Op& done = op(stage, at);
    if (done.outbox < 0) return;
    state_.mailboxes[static_cast<std::size_t>(done.outbox)].put(
        {micro_batch(stage, at), end + done.send, now});
  }

  void note(std::size_t stage, const Cursor& at, bool begins_pair, Ticks start) {
    if (timeline_ == nullptr) return;
    PipelineAction action = schedule_.stages[stage][at.loop].body[at.at];
    action.micro_batch = micro_batch(stage, at);
    const Ticks end = start + op(stage, at).duration;
    (*timeline_)[stage].push_back(
        {action, program_.to_seconds(start), program_.to_seconds(end), begins_pair});
  }

  // Where all wait: the first forward that has its input goes without the backward behind it.
  bool take_a_pair_apart() {
    for (std::size_t index = 0; index < state_.stages.size(); ++index) {
      PlayState::Stage& stage = state_.stages[index];
      if (is_done(index) || !begins_pair(index, {stage.next, behind(index, stage.next)}) ||
          !has_input(index, stage.next))
        continue;
      stage.apart = true;
      history_.forget();
      return true;
    }
    return false;
  }

  Error stuck() const {
    std::size_t stage = 0;
    while (is_done(stage))
      ++stage;
    const Cursor& next = state_.stages[stage].next;
    const ActionLoop& loop = schedule_.stages[stage][next.loop];
    PipelineAction action = loop.body[next.at];
    action.micro_batch += next.turn * loop.shift;
    return deadlock(schedule_.shape, static_cast<int>(stage), action);
  }

  PlayedStep result() {
    PlayedStep step;
    Ticks end = 0;
    for (const PlayState::Stage& stage : state_.stages)
      end = std::max(end, stage.free_at - (schedule_.overlaps_steps ? stage.begun_at : 0));
    step.step_s = program_.to_seconds(end);
    for (const Ticks busy : program_.busy)
      step.busy_s.push_back(program_.to_seconds(busy));
    const double busiest = *std::max_element(step.busy_s.begin(), step.busy_s.end());
    step.bubble_ratio = step.step_s > 0 ? 1 - busiest / step.step_s : 0;
    return step;
  }

  const PipelineSchedule& schedule_;
  ScheduleProgram program_;
  std::vector<std::vector<PlayedAction>>* timeline_;
  PlayState state_;
  RoundHistory history_;
  std::vector<std::size_t> left_;  // [stage] actions it may run in this round
};

}  // namespace

Result<PlayedStep> play(const PipelineSchedule& schedule, const ScheduleTimes& times) {
  TERA_TRY(ScheduleProgram program, make_program(schedule, times));
  return Player(schedule, std::move(program), nullptr).run();
}

Result<Timeline> play_in_full(const PipelineSchedule& schedule, const ScheduleTimes& times) {
  Timeline timeline;
  TERA_TRY(ScheduleProgram program, make_program(schedule, times));
  TERA_TRY(timeline.step, Player(schedule, std::move(program), &timeline.stages).run());
  return timeline;
}

}  // namespace tera::plan
