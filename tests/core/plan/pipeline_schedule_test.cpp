#include "core/plan/pipeline_schedule.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "core/base/check.h"
#include "core/plan/schedule_check.h"
#include "tests/core/plan/schedules.h"

namespace tera::plan {
namespace {

std::string line(const PipelineSchedule& schedule, std::size_t stage) {
  std::string text;
  for (const PipelineAction& action : actions_of(schedule.stages[stage]))
    text += (text.empty() ? "" : " ") + action_name(action, schedule.shape.num_chunks);
  return text;
}

TEST(PipelineSchedule, EveryKindAndSizePassesTheCheck) {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int stages : {1, 2, 3, 4, 5, 8}) {
      for (const std::int64_t count : {1, 2, 3, 7, 8, 16, 33}) {
        for (const int chunks : {2, 3, 4}) {
          if (chunks > 2 && kind != ScheduleKind::interleaved) continue;
          const PipelineSchedule schedule =
              schedule_of(kind, stages, count, std::min(chunks, default_chunks(kind) * chunks / 2));
          const auto checked = check_schedule(schedule);
          EXPECT_TRUE(checked) << name_of(kind, schedule.shape) << ": " << checked.error().message;
        }
      }
    }
  }
}

TEST(PipelineSchedule, OrdersAreThePublishedOnes) {
  EXPECT_EQ(line(schedule_of(ScheduleKind::gpipe, 2, 2), 0), "F0 F1 BW0 BW1");
  EXPECT_EQ(line(schedule_of(ScheduleKind::one_f_one_b, 2, 3), 0), "F0 F1 BW0 F2 BW1 BW2");
  EXPECT_EQ(line(schedule_of(ScheduleKind::one_f_one_b, 2, 3), 1), "F0 BW0 F1 BW1 F2 BW2");
  EXPECT_EQ(line(schedule_of(ScheduleKind::interleaved, 2, 2), 0),
            "F0.0 F1.0 F0.1 F1.1 BW0.1 BW1.1 BW0.0 BW1.0");
  EXPECT_EQ(line(schedule_of(ScheduleKind::interleaved, 2, 2), 1),
            "F0.0 F1.0 F0.1 BW0.1 F1.1 BW1.1 BW0.0 BW1.0");
  EXPECT_EQ(line(schedule_of(ScheduleKind::zb_h1, 2, 3), 0), "F0 F1 B0 W0 F2 B1 W1 B2 W2");
  EXPECT_EQ(line(schedule_of(ScheduleKind::zb_h1, 2, 3), 1), "F0 B0 F1 B1 W0 F2 B2 W1 W2");
  EXPECT_EQ(line(schedule_of(ScheduleKind::zb_v, 2, 3), 0),
            "F0.0 F1.0 F2.0 F0.1 B0.1 W0.1 F1.1 B1.1 W1.1 B0.0 W0.0 F2.1 B2.1 W2.1 B1.0 W1.0 "
            "B2.0 W2.0");
  EXPECT_EQ(line(schedule_of(ScheduleKind::dualpipe_v, 2, 4), 1),
            "F0.0 F0.1 F1.0 F1.1 F2.0 BW0.1 F2.1 BW0.0 F3.0 BW1.1 F3.1 BW1.0 BW2.1 BW2.0 B3.1 "
            "B3.0 W3.1 W3.0");
}

TEST(PipelineSchedule, GradientsOfWeightsAddUpInTheOrderOfMicroBatches) {
  // So that sums do not depend on the schedule, to the last bit.
  for (const ScheduleKind kind : kScheduleKinds) {
    const PipelineSchedule schedule = schedule_of(kind, 4, 12);
    for (const StageOrder& order : schedule.stages) {
      std::vector<std::int64_t> next(static_cast<std::size_t>(schedule.shape.num_chunks), 0);
      for (const PipelineAction& action : actions_of(order)) {
        if (action.work != Work::backward && action.work != Work::backward_weight) continue;
        EXPECT_EQ(action.micro_batch, next[static_cast<std::size_t>(action.chunk)]++)
            << name_of(kind, schedule.shape);
      }
    }
  }
}

TEST(PipelineSchedule, LengthDoesNotDependOnMicroBatches) {
  for (const ScheduleKind kind : kScheduleKinds) {
    const auto size = [&](std::int64_t count) {
      std::size_t sum = 0;
      for (const StageOrder& order : schedule_of(kind, 4, count).stages) {
        for (const ActionLoop& loop : order)
          sum += loop.body.size();
      }
      return sum;
    };
    EXPECT_EQ(size(64), size(std::int64_t{1} << 40)) << enum_name(kind);
  }
}

TEST(PipelineSchedule, LinksOfAVComeBackToTheFirstStage) {
  const PipelineShape v{.num_stages = 3, .num_chunks = 2, .placement = ChunkPlacement::v};
  EXPECT_EQ(v.link({2, 0}), 2);
  EXPECT_EQ(v.link({2, 1}), 3);
  EXPECT_EQ(v.link({0, 1}), 5);
  const PipelineShape loop{.num_stages = 3, .num_chunks = 2};
  EXPECT_EQ(loop.link({0, 1}), 3);
  for (const PipelineShape& shape : {v, loop}) {
    for (int link = 0; link < shape.num_links(); ++link)
      EXPECT_EQ(shape.link(shape.place(link)), link);
  }
}

TEST(PipelineSchedule, WhatValidationRefusesBreaksTheContract) {
  EXPECT_THROW(make_schedule(ScheduleKind::one_f_one_b, {.num_stages = 2, .num_chunks = 2}),
               ContractError);
  EXPECT_THROW(make_schedule(ScheduleKind::zb_v, {.num_stages = 2}), ContractError);
  EXPECT_THROW(make_schedule(ScheduleKind::gpipe, {.num_micro_batches = 0}), ContractError);
  EXPECT_THROW(make_schedule(ScheduleKind::interleaved,
                             {.num_stages = 2, .num_chunks = 2, .num_micro_batches = 3}),
               ContractError);
  EXPECT_THROW(make_schedule(ScheduleKind::dualpipe_v,
                             {.num_stages = 2, .num_chunks = 2, .num_micro_batches = 3}),
               ContractError);
}

}  // namespace
}  // namespace tera::plan
