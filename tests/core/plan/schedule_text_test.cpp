#include "core/plan/schedule_text.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/plan/schedules.h"

namespace tera::plan {
namespace {

constexpr PipelineShape kTwo{.num_stages = 2, .num_micro_batches = 2};

void expect_refused(const std::string& text, const std::string& message) {
  const auto parsed = parse_schedule(text, kTwo, "mine.txt");
  ASSERT_FALSE(parsed) << text;
  EXPECT_THAT(parsed.error().message, testing::HasSubstr(message)) << text;
}

TEST(ScheduleText, EveryKindComesBack) {
  for (const ScheduleKind kind : kScheduleKinds) {
    const PipelineSchedule schedule = schedule_of(kind, 3, 12);
    const auto parsed = parse_schedule(schedule_text(schedule), schedule.shape, "mine.txt");
    ASSERT_TRUE(parsed) << enum_name(kind) << ": " << parsed.error().message;
    EXPECT_EQ(parsed->shape, schedule.shape);
    for (std::size_t stage = 0; stage < 3; ++stage)
      EXPECT_EQ(actions_of(parsed->stages[stage]), actions_of(schedule.stages[stage]));
    EXPECT_EQ(schedule_text(*parsed), schedule_text(schedule));
  }
}

TEST(ScheduleText, CommentsAndSpacesDoNotCount) {
  const auto parsed = parse_schedule(
      "# one forward, one backward\n\n\tF0  F1 B0 W0 BW1 # first\r\nF0 BW0 F1 BW1", kTwo, "x");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(schedule_text(*parsed), "F0 F1 B0 W0 BW1\nF0 BW0 F1 BW1\n");
}

TEST(ScheduleText, MistakesAreFoundWhereTheyAre) {
  expect_refused("F0 F1 G0 BW1\n", "mine.txt:1:7: got 'G0', expected an action such as F0");
  expect_refused("# x\nF0 F F1\n", "mine.txt:2:4: got 'F', expected an action");
  for (const char* word : {"F-1", "F0.", "F.1", "Fx", "F99999999999999999999", "BW", "\x01\x02"})
    expect_refused(word, "mine.txt:1:1: got");
  expect_refused("F2", "mine.txt:1:1: got 'F2', expected micro-batches 0 to 1 and chunks 0 to 0");
  expect_refused("F0.1", "got 'F0.1', expected micro-batches 0 to 1 and chunks 0 to 0");
  expect_refused("", "mine.txt: got 0 lines with actions, expected 2, one for each stage");
  expect_refused("F0 F1 BW0 BW1\n", "got 1 line with actions");
  expect_refused("F0 F1 BW0 BW1\nF0 BW0 F1 B1\n", "mine.txt: schedule: stage 1 has W1 0 times");
  expect_refused("F0 BW0 F1 BW1\nF0 F1 BW0 BW1\n", "stage 0 waits for ever before BW0");
}

TEST(ScheduleText, AnyBytesAreRefusedNotObeyed) {
  std::mt19937 random(3);
  const std::string letters = "FBW0123.# \n\xff";
  for (int trial = 0; trial < 2000; ++trial) {
    std::string text;
    for (int i = 0; i < 30; ++i)
      text += letters[random() % letters.size()];
    const auto parsed = parse_schedule(text, kTwo, "x");
    EXPECT_FALSE(parsed) << text;
  }
}

TEST(ScheduleGrid, ShowsWorkAndWaiting) {
  const PipelineSchedule schedule = schedule_of(ScheduleKind::one_f_one_b, 2, 2);
  const auto timeline = play_in_full(schedule, equal_times(schedule.shape, {1, 1, 1}));
  EXPECT_EQ(schedule_grid(*timeline, 27),
            "   0 F0FF1F......B0BBBB...B1BBBB\n"
            "   1 ...F0FB0BBBBF1FB1BBBB......\n");
  // Narrow: no room for the numbers of forwards.
  EXPECT_EQ(schedule_grid(*timeline, 9), "   0 FF..B0.B1\n   1 .FB0FB1..\n");
  // Narrower still: the beginning, in which two of the four actions have two columns each.
  EXPECT_EQ(drawable_s(*timeline, 8), 9);
  EXPECT_EQ(drawable_s(*timeline, 4), 4.5);
  EXPECT_EQ(schedule_grid(*timeline, 4), "   0 FF..\n   1 .FB0\n");
  const PipelineSchedule v = schedule_of(ScheduleKind::zb_v, 1, 1);
  EXPECT_EQ(schedule_grid(*play_in_full(v, equal_times(v.shape, {1, 1, 1})), 12),
            "   0 F0f0b0w0B0W0\n");
}

}  // namespace
}  // namespace tera::plan
