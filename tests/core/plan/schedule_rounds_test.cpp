#include "core/plan/schedule_rounds.h"

#include <limits>

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

TEST(Mailbox, GivesTheMicroBatchThatIsAskedFor) {
  Mailbox box;
  box.put({.micro_batch = 3, .arrival = 30, .sent = {}});
  box.put({.micro_batch = 4, .arrival = 40, .sent = {}});
  EXPECT_FALSE(box.take(5));
  EXPECT_EQ(box.take(4)->arrival, 40);
  EXPECT_FALSE(box.take(4)) << "once";
  EXPECT_EQ(box.take(3)->arrival, 30);
  EXPECT_TRUE(box.messages().empty());
}

TEST(Cursor, GoesThroughTheTurnsAndOverWhatIsEmpty) {
  const PipelineAction action;
  const StageOrder order = {
      {{}, 5, 1}, {{action, action}, 2, 1}, {{action}, 0, 1}, {{action}, 1, 1}};
  Cursor next;
  next.skip_empty(order);
  std::vector<std::size_t> loops;
  for (; !next.is_done(order); next.advance(order))
    loops.push_back(next.loop);
  EXPECT_EQ(loops, (std::vector<std::size_t>{1, 1, 1, 1, 3}));
}

// One stage whose turns all take the same: after a few rounds the rest is known.
TEST(RoundHistory, SkipsToTheLastTurn) {
  PipelineSchedule schedule{.shape = {.num_micro_batches = 1000}, .stages = {}};
  schedule.stages.push_back({{{PipelineAction{}}, 1000, 1}});
  RoundHistory history(schedule);
  PlayState state;
  state.stages.resize(1);
  PlayState::Stage& stage = state.stages.front();
  std::int64_t played = 0;
  while (!stage.next.is_done(schedule.stages.front())) {
    Round& round = history.begin_round();
    state.round += 1;
    stage.free_at += 7;
    stage.last = {state.round, 0};
    stage.started = true;
    round.ops = {0};
    round.ends = {stage.free_at};
    round.gaps = {std::numeric_limits<Ticks>::min()};
    stage.next.advance(schedule.stages.front());
    round.cursors = {stage.next};
    ++played;
    if (!stage.next.is_done(schedule.stages.front())) history.skip_turns(state);
  }
  EXPECT_EQ(stage.free_at, 7000);
  EXPECT_LT(played, 10);
}

}  // namespace
}  // namespace tera::plan
