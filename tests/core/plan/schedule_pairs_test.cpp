#include "core/plan/schedule_pairs.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "core/plan/schedule_check.h"
#include "core/plan/schedule_messages.h"
#include "tests/core/plan/schedules.h"

namespace tera::plan {
namespace {

// "F0 (F1 BW0) BW1"
std::string line(const PipelineSchedule& schedule, std::size_t stage) {
  const std::vector<PipelineAction> actions = actions_of(schedule.stages[stage]);
  const std::vector<bool> begins = schedule_pairs(schedule)[stage];
  std::string text;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    text += i > 0 ? " " : "";
    text += begins[i] ? "(" : "";
    text += action_name(actions[i], schedule.shape.num_chunks);
    text += i > 0 && begins[i - 1] ? ")" : "";
  }
  return text;
}

TEST(SchedulePairs, AreForwardsAndTheBackwardsBehindThem) {
  EXPECT_EQ(line(in_pairs(ScheduleKind::one_f_one_b, 1, 3), 0), "F0 (F1 BW0) (F2 BW1) BW2");
  EXPECT_EQ(line(in_pairs(ScheduleKind::one_f_one_b, 2, 4), 0), "F0 F1 F2 (F3 BW0) BW1 BW2 BW3");
  EXPECT_EQ(line(in_pairs(ScheduleKind::one_f_one_b, 2, 4), 1),
            "F0 (F1 BW0) (F2 BW1) (F3 BW2) BW3");
  EXPECT_EQ(line(in_pairs(ScheduleKind::dualpipe_v, 2, 4), 1),
            "F0.0 F0.1 F1.0 F1.1 (F2.0 BW0.1) (F2.1 BW0.0) (F3.0 BW1.1) (F3.1 BW1.0) BW2.1 BW2.0 "
            "B3.1 B3.0 W3.1 W3.0");
}

TEST(SchedulePairs, AStageThatWouldWaitForEverHasNone) {
  // F1 of the first stage is what B0 waits for, by way of F1 on the second.
  const PipelineSchedule schedule = in_pairs(ScheduleKind::gpipe, 2, 2);
  EXPECT_EQ(line(schedule, 0), "F0 F1 BW0 BW1");
  EXPECT_EQ(line(schedule, 1), "F0 (F1 BW0) BW1");
}

TEST(SchedulePairs, AShapeThatIsNotInPairsHasNone) {
  const PipelineSchedule schedule = schedule_of(ScheduleKind::dualpipe_v, 2, 8);
  for (const std::vector<bool>& begins : schedule_pairs(schedule))
    EXPECT_EQ(std::count(begins.begin(), begins.end(), true), 0);
}

// Every stage runs on, with what begins together held back until all of it is there.
void expect_ends(const PipelineSchedule& schedule, const std::string& name) {
  const std::vector<std::vector<bool>> pairs = schedule_pairs(schedule);
  std::vector<std::vector<PipelineAction>> stages;
  for (const StageOrder& order : schedule.stages)
    stages.push_back(actions_of(order));
  std::vector<std::size_t> next(stages.size(), 0);
  std::vector<StageMessage> sent;
  bool moved = true;
  while (moved) {
    moved = false;
    for (std::size_t s = 0; s < stages.size(); ++s) {
      if (next[s] == stages[s].size()) continue;
      const std::size_t end = next[s] + (pairs[s][next[s]] ? 2 : 1);
      bool ready = true;
      for (std::size_t i = next[s]; i < end; ++i) {
        const auto needed = needed_by(schedule.shape, static_cast<int>(s), stages[s][i]);
        ready &= !needed || std::find(sent.begin(), sent.end(), *needed) != sent.end();
      }
      if (!ready) continue;
      for (; next[s] < end; ++next[s]) {
        const auto given = given_by(schedule.shape, static_cast<int>(s), stages[s][next[s]]);
        if (given) sent.push_back(*given);
      }
      moved = true;
    }
  }
  for (std::size_t s = 0; s < stages.size(); ++s)
    EXPECT_EQ(next[s], stages[s].size()) << name << ", stage " << s;
}

TEST(SchedulePairs, EveryKindAndSizeEnds) {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int stages : {1, 2, 3, 5, 8}) {
      for (const std::int64_t count : {1, 2, 3, 7, 16}) {
        const PipelineSchedule schedule = in_pairs(kind, stages, count);
        const auto checked = check_schedule(schedule);
        ASSERT_TRUE(checked) << name_of(kind, schedule.shape) << ": " << checked.error().message;
        expect_ends(schedule, name_of(kind, schedule.shape));
      }
    }
  }
}

// As many as the stage still has forwards for: those of a step, less the ones that it begins with.
TEST(SchedulePairs, AreAsManyAsThereCanBe) {
  const auto count = [](const PipelineSchedule& schedule, int stage) {
    const std::vector<bool> begins = schedule_pairs(schedule)[static_cast<std::size_t>(stage)];
    return std::count(begins.begin(), begins.end(), true);
  };
  for (const int stages : {1, 2, 4}) {
    const PipelineSchedule whole = in_pairs(ScheduleKind::one_f_one_b, stages, 32);
    const PipelineSchedule chunks = in_pairs(ScheduleKind::interleaved, stages, 32);
    for (int stage = 0; stage < stages; ++stage) {
      const int later = stages - 1 - stage;
      EXPECT_EQ(count(whole, stage), 32 - (2 * later + 1));
      EXPECT_EQ(peak_in_flight(whole.stages[static_cast<std::size_t>(stage)], 1), 2 * later + 2);
      EXPECT_EQ(count(chunks, stage), 2 * 32 - (2 * later + stages + 1));
    }
  }
}

}  // namespace
}  // namespace tera::plan
