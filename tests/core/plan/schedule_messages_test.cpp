#include "core/plan/schedule_messages.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "core/plan/schedule_check.h"
#include "tests/core/plan/schedules.h"

namespace tera::plan {
namespace {

// Plays a schedule over channels that keep the order of each pair of stages, taking messages as the
// header says. Counts what a stage puts aside at most.
class ChannelPlayer {
 public:
  explicit ChannelPlayer(const PipelineSchedule& schedule) : schedule_(schedule) {
    for (int to = 0; to < schedule.shape.num_stages; ++to) {
      for (int from = 0; from < schedule.shape.num_stages; ++from) {
        const auto messages = messages_between(schedule, from, to);
        expected_[{from, to}] = {messages.begin(), messages.end()};
      }
    }
  }

  // The actions that are left when nobody can go on.
  std::size_t play() {
    std::vector<std::deque<PipelineAction>> left;
    for (const StageOrder& order : schedule_.stages) {
      const auto actions = actions_of(order);
      left.emplace_back(actions.begin(), actions.end());
    }
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t stage = 0; stage < left.size(); ++stage) {
        while (!left[stage].empty() && run(static_cast<int>(stage), left[stage].front())) {
          left[stage].pop_front();
          moved = true;
        }
      }
    }
    std::size_t sum = 0;
    for (const auto& actions : left)
      sum += actions.size();
    for (const auto& [pair, channel] : channels_)
      EXPECT_TRUE(channel.empty()) << "stage " << pair.first << " sends what nobody takes";
    return sum;
  }

  std::size_t most_aside() const { return most_aside_; }

 private:
  bool run(int stage, const PipelineAction& action) {
    const PipelineShape& shape = schedule_.shape;
    const auto needed = needed_by(shape, stage, action);
    if (needed && !take(stage, *needed)) return false;
    if (const auto given = given_by(shape, stage, action)) {
      EXPECT_EQ(sender_of(shape, *given), stage);
      channels_[{stage, shape.place(given->to_link).stage}].push_back(*given);
    }
    return true;
  }

  bool take(int stage, const StageMessage& needed) {
    std::set<StageMessage>& aside = aside_[stage];
    const std::pair<int, int> pair{sender_of(schedule_.shape, needed), stage};
    std::deque<StageMessage>& channel = channels_[pair];
    while (!aside.contains(needed)) {
      if (channel.empty()) return false;
      EXPECT_EQ(channel.front(), expected_[pair].front());
      aside.insert(channel.front());
      channel.pop_front();
      expected_[pair].pop_front();
    }
    aside.erase(needed);
    most_aside_ = std::max(most_aside_, aside.size());
    return true;
  }

  const PipelineSchedule& schedule_;
  std::map<std::pair<int, int>, std::deque<StageMessage>> channels_, expected_;
  std::map<int, std::set<StageMessage>> aside_;
  std::size_t most_aside_ = 0;
};

TEST(ScheduleMessages, EveryScheduleEndsOverChannelsThatKeepTheirOrder) {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int stages : {1, 2, 3, 4, 7}) {
      for (const std::int64_t count : {1, 2, 5, 8, 20}) {
        const PipelineSchedule schedule = schedule_of(kind, stages, count);
        SCOPED_TRACE(name_of(kind, schedule.shape));
        ASSERT_TRUE(check_schedule(schedule));
        ChannelPlayer player(schedule);
        EXPECT_EQ(player.play(), 0U);
        // With one chunk per stage a pair has one kind of message each way, in order.
        if (schedule.shape.num_chunks == 1) {
          EXPECT_EQ(player.most_aside(), 0U);
        }
        EXPECT_LE(player.most_aside(), static_cast<std::size_t>(2 * stages));
      }
    }
  }
}

// Orders that people may write: whatever passes the check comes to its end, and what does not,
// hangs.
TEST(ScheduleMessages, AnOrderThatPassesTheCheckEnds) {
  unsigned state = 7;
  const auto random = [&state](std::size_t bound) {
    state = state * 1664525U + 1013904223U;
    return static_cast<std::size_t>(state >> 8) % bound;
  };
  int put_aside = 0;
  for (int trial = 0; trial < 300; ++trial) {
    PipelineSchedule schedule = schedule_of(kScheduleKinds[random(kScheduleKinds.size())], 3, 6);
    for (StageOrder& order : schedule.stages)
      order = {{actions_of(order), 1, 0}};
    for (std::size_t swaps = random(12); swaps > 0; --swaps) {
      auto& order = schedule.stages[random(3)].front().body;
      const std::size_t at = random(order.size() - 1);
      std::swap(order[at], order[at + 1]);
    }
    if (!check_schedule(schedule)) continue;
    ChannelPlayer player(schedule);
    EXPECT_EQ(player.play(), 0U);
    put_aside += player.most_aside() > 0;
  }
  EXPECT_GT(put_aside, 10);
}

TEST(ScheduleMessages, FollowFromTheActions) {
  // Stage 0 holds links 0 and 3 of a V over two stages, stage 1 links 1 and 2.
  const PipelineShape shape{
      .num_stages = 2, .num_chunks = 2, .num_micro_batches = 2, .placement = ChunkPlacement::v};
  using M = StageMessage;
  EXPECT_EQ(given_by(shape, 0, {Work::forward, 0, 1}), (M{1, false, 1}));
  EXPECT_EQ(needed_by(shape, 1, {Work::forward, 0, 1}), (M{1, false, 1}));
  EXPECT_EQ(given_by(shape, 1, {Work::forward, 0, 1}), (M{2, false, 1})) << "the turn";
  EXPECT_EQ(sender_of(shape, {2, false, 1}), 1);
  EXPECT_EQ(given_by(shape, 0, {Work::forward, 1, 1}), std::nullopt) << "the head";
  EXPECT_EQ(given_by(shape, 0, {Work::backward_input, 1, 1}), (M{2, true, 1}));
  EXPECT_EQ(needed_by(shape, 1, {Work::backward, 1, 1}), (M{2, true, 1}));
  EXPECT_EQ(given_by(shape, 0, {Work::backward, 0, 1}), std::nullopt) << "the embedding";
  EXPECT_EQ(needed_by(shape, 0, {Work::backward_weight, 0, 1}), std::nullopt);
  const PipelineSchedule schedule = schedule_of(ScheduleKind::one_f_one_b, 2, 2);
  EXPECT_EQ(messages_between(schedule, 0, 1), (std::vector<M>{{1, false, 0}, {1, false, 1}}));
  EXPECT_EQ(messages_between(schedule, 1, 0), (std::vector<M>{{0, true, 0}, {0, true, 1}}));
}

// Gradients of weights add up in the order of micro-batches, so that a schedule changes no bit.
TEST(ScheduleMessages, WeightGradientsOfAChunkComeInTheOrderOfMicroBatches) {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int stages : {1, 2, 4, 7}) {
      const PipelineSchedule schedule = schedule_of(kind, stages, 20);
      for (const StageOrder& order : schedule.stages) {
        std::vector<std::int64_t> next(static_cast<std::size_t>(schedule.shape.num_chunks));
        for (const PipelineAction& action : actions_of(order)) {
          if (action.work != Work::backward && action.work != Work::backward_weight) continue;
          EXPECT_EQ(action.micro_batch, next[static_cast<std::size_t>(action.chunk)]++)
              << name_of(kind, schedule.shape);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tera::plan
