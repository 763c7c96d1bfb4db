#include "core/plan/pipeline_schedule.h"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tera::plan {
namespace {

std::vector<double> each(int stages, double seconds) {
  return std::vector<double>(static_cast<std::size_t>(stages), seconds);
}

TEST(PipelineSchedule, EveryStageRunsEveryMicroBatchOnceEachWay) {
  for (const int stages : {1, 2, 3, 8}) {
    for (const int count : {1, 2, 7, 16}) {
      for (const auto kind : {spec::ScheduleKind::gpipe, spec::ScheduleKind::one_f_one_b}) {
        const PipelineSchedule schedule = make_schedule(kind, stages, count);
        ASSERT_EQ(schedule.size(), static_cast<std::size_t>(stages));
        for (const auto& order : schedule) {
          std::set<std::pair<int, int>> seen;
          for (const PipelineAction& action : order)
            EXPECT_TRUE(seen.insert({static_cast<int>(action.work), action.micro_batch}).second);
          EXPECT_EQ(seen.size(), static_cast<std::size_t>(2 * count));
        }
        EXPECT_TRUE(simulate(schedule, each(stages, 1), each(stages, 2))) << stages << " " << count;
      }
    }
  }
}

TEST(PipelineSchedule, SimulatedStepEqualsTheClosedForm) {
  // (m + p - 1)(tf + tb) for equal stages: Narayanan et al. 2021, section 2.2.
  for (const int stages : {1, 2, 4, 8}) {
    for (const int count : {1, 3, 8, 32}) {
      for (const auto kind : {spec::ScheduleKind::gpipe, spec::ScheduleKind::one_f_one_b}) {
        const auto step =
            simulate(make_schedule(kind, stages, count), each(stages, 1.0), each(stages, 2.0));
        ASSERT_TRUE(step);
        EXPECT_DOUBLE_EQ(step->step_s, 3.0 * (count + stages - 1)) << stages << " " << count;
        EXPECT_NEAR(step->bubble_ratio, (stages - 1.0) / (count + stages - 1), 1e-12);
      }
    }
  }
}

TEST(PipelineSchedule, BubbleOfFourStagesAndEightMicroBatches) {
  const auto step = simulate(make_1f1b(4, 8), each(4, 1), each(4, 2));
  EXPECT_NEAR(step->bubble_ratio, 0.273, 0.0005);  // engine design, oracle numbers: 27.3 %
}

TEST(PipelineSchedule, InFlightIsWhatTheOrderHolds) {
  const auto one = simulate(make_1f1b(4, 8), each(4, 1), each(4, 2));
  EXPECT_EQ(one->peak_in_flight, (std::vector<int>{4, 3, 2, 1}));
  const auto few = simulate(make_1f1b(4, 2), each(4, 1), each(4, 2));
  EXPECT_EQ(few->peak_in_flight, (std::vector<int>{2, 2, 2, 1}));
  const auto all = simulate(make_gpipe(4, 8), each(4, 1), each(4, 2));
  EXPECT_EQ(all->peak_in_flight, (std::vector<int>{8, 8, 8, 8}));
}

TEST(PipelineSchedule, TheSlowestStageSetsThePace) {
  const auto step = simulate(make_1f1b(3, 50), {1, 4, 1}, {2, 8, 2});
  EXPECT_NEAR(step->step_s, 1 + 50 * 12 + 2,
              1e-9);  // first forward before it, last backward after it
}

TEST(PipelineSchedule, DeadlocksNameTheStage) {
  PipelineSchedule schedule = make_1f1b(2, 2);
  std::swap(schedule[1][0], schedule[1][1]);  // backward before its forward
  const auto step = simulate(schedule, each(2, 1), each(2, 1));
  ASSERT_FALSE(step);
  EXPECT_THAT(step.error().message,
              testing::HasSubstr("stage 0 waits for ever before the backward of micro-batch 0"));
}

TEST(PipelineSchedule, RefusesWhatIsNoSchedule) {
  EXPECT_FALSE(simulate({}, {}, {}));
  EXPECT_FALSE(simulate(make_1f1b(2, 2), each(1, 1), each(2, 1)));
  EXPECT_FALSE(simulate({{{Work::forward, 0, -1}}}, each(1, 1), each(1, 1)));
}

TEST(PipelineSchedule, ChunksContinueTheChain) {
  // Two stages of two chunks: a micro-batch visits stage 0, 1, 0, 1 and comes back.
  const PipelineSchedule schedule = {{{Work::forward, 0, 0},
                                      {Work::forward, 1, 0},
                                      {Work::backward, 1, 0},
                                      {Work::backward, 0, 0}},
                                     {{Work::forward, 0, 0},
                                      {Work::forward, 1, 0},
                                      {Work::backward, 1, 0},
                                      {Work::backward, 0, 0}}};
  const auto step = simulate(schedule, each(2, 1), each(2, 2));
  ASSERT_TRUE(step) << step.error().message;
  EXPECT_DOUBLE_EQ(step->step_s, 4 * 1 + 4 * 2);
}

}  // namespace
}  // namespace tera::plan
