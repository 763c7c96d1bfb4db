#include "core/plan/schedule_bound.h"

#include <random>

#include <gtest/gtest.h>

#include "tests/core/plan/schedules.h"

namespace tera::plan {
namespace {

double played_s(const PipelineSchedule& schedule, const ScheduleTimes& times) {
  const auto played = play(schedule, times);
  EXPECT_TRUE(played) << played.error().message;
  return played ? played->step_s : -1;
}

TEST(LeastPlayed, IsThePlayedTimeOfEqualStages) {
  for (const ScheduleKind kind : kScheduleKinds) {
    if (kind == ScheduleKind::dualpipe_v) continue;  // its idle time is shorter than any one chain
    for (const int stages : {1, 2, 3, 8}) {
      if (stages == 1 && default_chunks(kind) > 1) continue;
      for (const std::int64_t count : {2 * stages, 7 * stages}) {
        const PipelineSchedule schedule = schedule_of(kind, stages, count);
        const ScheduleTimes times = equal_times(schedule.shape, {1, 1, 1});
        EXPECT_NEAR(least_played_s(kind, schedule.shape, times.links, 0), played_s(schedule, times),
                    1e-9)
            << name_of(kind, schedule.shape);
      }
    }
  }
}

// Random stages, messages and sizes: a bound that is above the played time once would lose layouts.
TEST(LeastPlayed, IsNeverAboveThePlayedTime) {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> seconds(0.05, 2);
  std::uniform_int_distribution<int> few(1, 9);
  double sum = 0;
  int count = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    const ScheduleKind kind =
        kScheduleKinds[static_cast<std::size_t>(trial) % kScheduleKinds.size()];
    const int stages = default_chunks(kind) > 1 ? 1 + few(random) : few(random);
    const int chunks = kind == ScheduleKind::interleaved ? 1 + few(random) : default_chunks(kind);
    PipelineShape shape = schedule_of(kind, stages, 1 + few(random) * few(random) / 2,
                                      std::max(chunks, default_chunks(kind)))
                              .shape;
    shape.in_pairs = trial % 2 == 1;
    const PipelineSchedule schedule = make_schedule(kind, shape);
    ScheduleTimes times =
        equal_times(schedule.shape, {seconds(random), seconds(random), seconds(random)});
    for (LinkSeconds& link : times.links) {  // alike, but for some
      if (few(random) > 3 && trial % 3 != 0) continue;
      link = {seconds(random), seconds(random), seconds(random)};
    }
    const double send_s = trial % 4 == 0 ? 0 : seconds(random) / few(random);
    times.send_s.assign(times.links.size() - 1, send_s);
    const double least = least_played_s(kind, schedule.shape, times.links, send_s);
    const double played = played_s(schedule, times);
    ASSERT_LE(least, played * (1 + 1e-12)) << name_of(kind, schedule.shape) << " trial " << trial;
    sum += least / played;
    ++count;
  }
  EXPECT_GT(sum / count, 0.85) << "bounds far below the played times prune nothing";
}

}  // namespace
}  // namespace tera::plan
