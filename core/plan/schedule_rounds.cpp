#include "core/plan/schedule_rounds.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace tera::plan {

namespace {

auto find_message(auto& messages, std::int64_t micro_batch) {
  return std::find_if(messages.begin(), messages.end(),
                      [=](const Message& m) { return m.micro_batch == micro_batch; });
}

}  // namespace

bool Mailbox::holds(std::int64_t micro_batch) const {
  return find_message(messages_, micro_batch) != messages_.end();
}

std::optional<Message> Mailbox::take(std::int64_t micro_batch) {
  const auto found = find_message(messages_, micro_batch);
  if (found == messages_.end()) return std::nullopt;
  const Message message = *found;
  messages_.erase(found);
  return message;
}

void Cursor::advance(const StageOrder& order) {
  if (++at < order[loop].body.size()) return;
  at = 0;
  ++turn;
  skip_empty(order);
}

void Cursor::skip_empty(const StageOrder& order) {
  while (loop < order.size() && (order[loop].body.empty() || turn >= order[loop].repeats))
    *this = {loop + 1, 0, 0};
}

RoundHistory::RoundHistory(const PipelineSchedule& schedule) : schedule_(schedule) {
  std::int64_t shift = 1;
  for (const ActionLoop& loop : schedule.stages.front())
    shift = std::max(shift, loop.shift);
  max_period_ = 1 + schedule.shape.num_stages / shift;
  quiet_.assign(static_cast<std::size_t>(max_period_) + 1, 0);
}

void RoundHistory::forget() {
  rounds_.clear();
  quiet_.assign(quiet_.size(), 0);
}

Round& RoundHistory::begin_round() {
  const auto kept = static_cast<std::size_t>(3 * max_period_ + 8);
  Round round;
  if (rounds_.size() == kept) {  // its memory serves again
    round = std::move(rounds_.front());
    rounds_.pop_front();
    round.ops.clear();
    round.ends.clear();
    round.gaps.clear();
    round.cursors.clear();
    round.longest_wait = 0;
  }
  return rounds_.emplace_back(std::move(round));
}

// The round `back` rounds ago; null when it is not kept.
const Round* RoundHistory::ago(std::int64_t back) const {
  const auto size = static_cast<std::int64_t>(rounds_.size());
  return back < size ? &rounds_[static_cast<std::size_t>(size - 1 - back)] : nullptr;
}

// Whether the last round came after the round `period` before it by as much as that one after the
// one before, each action by its own measure.
bool RoundHistory::goes_on_alike(std::int64_t period) const {
  const Round* a = ago(0);
  const Round* b = ago(period);
  const Round* c = ago(2 * period);
  if (c == nullptr || a->ops.size() != b->ops.size() || b->ops.size() != c->ops.size())
    return false;
  for (std::size_t i = 0; i < a->ops.size(); ++i) {
    if (a->ops[i] != b->ops[i] || b->ops[i] != c->ops[i] ||
        a->ends[i] - b->ends[i] != b->ends[i] - c->ends[i])
      return false;
  }
  return true;
}

// Whether that held for long enough: what came in was sent so many rounds ago at most.
bool RoundHistory::is_steady(std::int64_t period) {
  std::int64_t& quiet = quiet_[static_cast<std::size_t>(period)];
  quiet = goes_on_alike(period) ? quiet + 1 : 0;
  if (quiet < period) return false;
  std::int64_t wait = 1;
  for (std::int64_t back = 0; back < period; ++back)
    wait = std::max(wait, ago(back)->longest_wait);
  return quiet >= period + wait;
}

void RoundHistory::skip_turns(PlayState& state) {
  for (std::int64_t period = 1; period <= max_period_; ++period) {
    if (!is_steady(period)) continue;
    const std::int64_t times = turns_alike(state, period);
    if (times <= 0) continue;
    jump(state, period, times);
    return;
  }
}

// How often the last `period` rounds can be repeated until a loop ends; 0 when the stages do not
// advance by the same number of micro-batches.
std::int64_t RoundHistory::turns_of_loops(const PlayState& state, std::int64_t period) const {
  std::int64_t times = std::numeric_limits<std::int64_t>::max();
  std::int64_t advance = 0;
  const Round* before = ago(period);
  for (std::size_t stage = 0; stage < state.stages.size(); ++stage) {
    const StageOrder& order = schedule_.stages[stage];
    const Cursor& now = state.stages[stage].next;
    const Cursor& then = before->cursors[stage];
    const std::int64_t turns = now.turn - then.turn;
    if (now.is_done(order) || !state.stages[stage].started || now.loop != then.loop ||
        now.at != then.at || turns <= 0)
      return 0;
    const ActionLoop& loop = order[now.loop];
    if (stage > 0 && turns * loop.shift != advance) return 0;
    advance = turns * loop.shift;
    times = std::min(times, (loop.repeats - now.turn - (now.at > 0 ? 1 : 0)) / turns);
  }
  return times;
}

// How often the last `period` rounds can be repeated until a loop ends or another action becomes
// the one that is waited for.
std::int64_t RoundHistory::turns_alike(const PlayState& state, std::int64_t period) const {
  std::int64_t times = turns_of_loops(state, period);
  if (times <= 0) return 0;
  for (const PlayState::Stage& stage : state.stages) {
    if (!reaches(state, stage.last, period)) return 0;
  }
  for (const Mailbox& box : state.mailboxes) {
    for (const Message& message : box.messages()) {
      if (!reaches(state, message.sent, period)) return 0;
    }
  }
  for (std::int64_t back = 0; back < period; ++back) {
    const std::vector<Ticks>& gaps = ago(back)->gaps;
    const std::vector<Ticks>& earlier = ago(back + period)->gaps;
    for (std::size_t i = 0; i < gaps.size(); ++i) {
      const Ticks growth = gaps[i] - earlier[i];
      if ((gaps[i] > 0 && earlier[i] < 0) || (gaps[i] < 0 && earlier[i] > 0)) return 0;
      if (gaps[i] >= 0 && growth < 0) times = std::min(times, gaps[i] / -growth);
      if (gaps[i] <= 0 && growth > 0) times = std::min(times, -gaps[i] / growth);
    }
  }
  return times;
}

// Whether the round `period` before a moment is still kept.
bool RoundHistory::reaches(const PlayState& state,
                           const Moment& moment,
                           std::int64_t period) const {
  return ago(state.round - moment.round + period) != nullptr;
}

// By how much an action comes later than the one `period` rounds before it.
Ticks RoundHistory::later_by(const PlayState& state,
                             const Moment& moment,
                             std::int64_t period) const {
  const std::int64_t back = state.round - moment.round;
  return ago(back)->ends[moment.slot] - ago(back + period)->ends[moment.slot];
}

void RoundHistory::jump(PlayState& state, std::int64_t period, std::int64_t times) {
  const Round* before = ago(period);
  std::int64_t advance = 0;
  for (std::size_t i = 0; i < state.stages.size(); ++i) {
    PlayState::Stage& stage = state.stages[i];
    const std::int64_t turns = stage.next.turn - before->cursors[i].turn;
    advance = turns * schedule_.stages[i][stage.next.loop].shift;
    stage.free_at += times * later_by(state, stage.last, period);
    stage.next.turn += times * turns;
    stage.next.skip_empty(schedule_.stages[i]);
  }
  for (Mailbox& box : state.mailboxes) {
    for (Message& message : box.messages()) {
      message.micro_batch += times * advance;
      message.arrival += times * later_by(state, message.sent, period);
    }
  }
  forget();
}

}  // namespace tera::plan
