#include "core/plan/schedule_program.h"

#include <gtest/gtest.h>

#include "core/plan/schedule_check.h"
#include "tests/core/plan/schedules.h"

namespace tera::plan {
namespace {

TEST(ScheduleProgram, OpsTakeFromTheLinkBeforeAndGiveToTheNext) {
  const PipelineSchedule schedule = schedule_of(ScheduleKind::zb_v, 2, 1);
  ScheduleTimes times = equal_times(schedule.shape, {0.25, 0.5, 0.375});
  times.send_s = {0.125, 100, 0.0625};  // the turn of the V stays on its stage
  const auto program = make_program(schedule, times);
  ASSERT_TRUE(program) << program.error().message;
  EXPECT_EQ(program->num_mailboxes, 8U);  // two for each of four links
  for (const Ticks busy : program->busy)
    EXPECT_EQ(program->to_seconds(busy), 2.25);
  // By link: 0 and 3 are on stage 0, 1 and 2 on stage 1.
  struct Expected {
    Work work;
    int stage, chunk;
    double duration_s, send_s;
    int inbox, outbox;
  };
  const Expected all[] = {
      {Work::forward, 0, 0, 0.25, 0.125, -1, 2},        {Work::forward, 1, 0, 0.25, 0, 2, 4},
      {Work::forward, 1, 1, 0.25, 0.0625, 4, 6},        {Work::forward, 0, 1, 0.25, 0, 6, -1},
      {Work::backward_input, 0, 1, 0.5, 0.0625, -1, 5}, {Work::backward_input, 1, 1, 0.5, 0, 5, 3},
      {Work::backward_input, 1, 0, 0.5, 0.125, 3, 1},   {Work::backward_input, 0, 0, 0.5, 0, 1, -1},
      {Work::backward_weight, 1, 1, 0.375, 0, -1, -1}};
  for (const Expected& e : all) {
    int seen = 0;
    const auto stage = static_cast<std::size_t>(e.stage);
    for (std::size_t loop = 0; loop < schedule.stages[stage].size(); ++loop) {
      const auto& body = schedule.stages[stage][loop].body;
      for (std::size_t i = 0; i < body.size(); ++i) {
        if (body[i].work != e.work || body[i].chunk != e.chunk) continue;
        const Op& op = program->ops[program->first_op[stage][loop] + i];
        const std::string name = action_name(body[i], 2) + " of stage " + std::to_string(e.stage);
        EXPECT_EQ(program->to_seconds(op.duration), e.duration_s) << name;
        EXPECT_EQ(program->to_seconds(op.send), e.send_s) << name;
        EXPECT_EQ(op.inbox, e.inbox) << name;
        EXPECT_EQ(op.outbox, e.outbox) << name;
        ++seen;
      }
    }
    EXPECT_EQ(seen, 1) << "one micro-batch";
  }
}

}  // namespace
}  // namespace tera::plan
