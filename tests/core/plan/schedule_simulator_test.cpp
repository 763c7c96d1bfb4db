#include "core/plan/schedule_simulator.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "tests/core/plan/reference_player.h"
#include "tests/core/plan/schedules.h"

namespace tera::plan {
namespace {

double step_of(const PipelineSchedule& schedule, LinkSeconds seconds) {
  const auto played = play(schedule, equal_times(schedule.shape, seconds));
  EXPECT_TRUE(played) << played.error().message;
  return played ? played->step_s : -1;
}

// Idle seconds of a stage for equal links: planner_formulas.md, section 5.
double closed_bubble_s(ScheduleKind kind, int stages, LinkSeconds t) {
  const double ahead = stages - 1;
  const double backward = t.backward_input + t.backward_weight;
  switch (kind) {
    case ScheduleKind::gpipe:
    case ScheduleKind::one_f_one_b:
    case ScheduleKind::interleaved:  // times of a chunk: 1 / v of the stage's
      return ahead * (t.forward + backward);
    case ScheduleKind::zb_h1:
      return ahead * (t.forward + backward - 2 * t.backward_weight);
    case ScheduleKind::zb_h2:  // steps overlap
      return 0;
    case ScheduleKind::zb_v:
      return ahead * t.forward;
    case ScheduleKind::dualpipe_v:
      // DeepSeek's (p - 1)(F&B + B - 3 W) is of pairs F&B that are one action; see the test of
      // pairs below. Apart a forward's result goes on before the backward behind it runs: one
      // gradient of the input less.
      return ahead * (t.forward + 2 * backward - 3 * t.backward_weight - t.backward_input);
  }
  return -1;
}

TEST(Play, StepsEqualTheClosedFormulas) {
  const LinkSeconds equal{1, 1, 1};
  for (const ScheduleKind kind : kScheduleKinds) {
    for (const int stages : {2, 3, 4, 8, 16}) {
      for (const std::int64_t count : {2 * stages, 4 * stages, 10 * stages + stages}) {
        const PipelineSchedule schedule = schedule_of(kind, stages, count);
        const double work =
            3.0 * static_cast<double>(schedule.shape.num_micro_batches) * schedule.shape.num_chunks;
        EXPECT_DOUBLE_EQ(step_of(schedule, equal), work + closed_bubble_s(kind, stages, equal))
            << name_of(kind, schedule.shape);
      }
    }
  }
}

TEST(Play, ClosedFormulasHoldForRandomTimesWhereTheyAreDerived) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> seconds(0.1, 2);
  for (int trial = 0; trial < 60; ++trial) {
    const int stages = 2 + trial % 7;
    const LinkSeconds t{seconds(random), seconds(random), seconds(random)};
    for (const ScheduleKind kind :
         {ScheduleKind::gpipe, ScheduleKind::one_f_one_b, ScheduleKind::interleaved,
          ScheduleKind::zb_h1, ScheduleKind::dualpipe_v}) {
      // Weights that take longer than a forward or an input gradient hold others up.
      LinkSeconds used = t;
      if (kind == ScheduleKind::zb_h1)
        used.backward_weight = std::min({t.forward, t.backward_input, t.backward_weight});
      if (kind == ScheduleKind::dualpipe_v) {  // derived for forwards as long as backwards
        used.forward = used.backward_input = std::max(t.forward, t.backward_weight);
        used.backward_weight = std::min(t.forward, t.backward_weight);
      }
      const int chunks = kind == ScheduleKind::interleaved ? 2 + trial % 3 : default_chunks(kind);
      const PipelineSchedule schedule = schedule_of(kind, stages, 3 * stages, chunks);
      const double work = (used.forward + used.backward_input + used.backward_weight) *
                          static_cast<double>(schedule.shape.num_micro_batches) * chunks;
      const double expected = work + closed_bubble_s(kind, stages, used);
      EXPECT_NEAR(step_of(schedule, used), expected, 1e-12 * expected)
          << name_of(kind, schedule.shape);
    }
  }
}

TEST(Play, DualPipeInPairsHasTheBubbleOfItsAuthors) {
  // In pairs, the same order leaves (p - 1)(F&B + B - 3 W) idle, to the letter, where the gradient
  // of the input takes longest. Apart it is legal as well, and faster: the halves of a pair wait
  // for one input each instead of both, and the result of the first leaves sooner.
  std::mt19937 random(5);
  std::uniform_real_distribution<double> seconds(0.1, 2);
  for (int trial = 0; trial < 60; ++trial) {
    const int stages = 2 + trial % 7;
    LinkSeconds t{seconds(random), seconds(random), seconds(random)};
    t.backward_input = std::max({t.forward, t.backward_input, t.backward_weight});
    const PipelineSchedule schedule = schedule_of(ScheduleKind::dualpipe_v, stages, 3 * stages);
    const ScheduleTimes times = equal_times(schedule.shape, t);
    const double backward = t.backward_input + t.backward_weight;
    const double work =
        2.0 * static_cast<double>(schedule.shape.num_micro_batches) * (t.forward + backward);
    const double bubble = (stages - 1) * (t.forward + backward + backward - 3 * t.backward_weight);
    const double joined = step_of(in_pairs(ScheduleKind::dualpipe_v, stages, 3 * stages), t);
    EXPECT_NEAR(joined, work + bubble, 1e-12 * joined)
        << name_of(ScheduleKind::dualpipe_v, schedule.shape);
    EXPECT_LT(step_of(schedule, t), joined);
  }
}

// Twice as many forwards ahead as without pairs: stages are never idle between the first and the
// last pair, so that one micro-batch more takes its own time longer.
TEST(Play, OneForwardOneBackwardInPairsRunsAtFullRate) {
  for (const int stages : {1, 2, 3, 5, 8}) {
    for (const std::int64_t count : {2 * stages, 5 * stages}) {
      const LinkSeconds t{1, 1.25, 0.75};
      const auto step_s = [&](std::int64_t micro_batches) {
        return step_of(in_pairs(ScheduleKind::one_f_one_b, stages, micro_batches), t);
      };
      EXPECT_DOUBLE_EQ(step_s(count + 1) - step_s(count), 3) << stages << ", " << count;
    }
  }
}

TEST(Play, EqualsTheDefinition) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> seconds(0, 2);
  for (int trial = 0; trial < 120; ++trial) {
    const ScheduleKind kind =
        kScheduleKinds[static_cast<std::size_t>(trial) % kScheduleKinds.size()];
    PipelineSchedule schedule = schedule_of(kind, 1 + trial % 5, 1 + trial % 23);
    if (trial % 2 == 1) schedule = in_pairs(kind, 1 + trial % 5, 1 + trial % 23);
    ScheduleTimes times;
    for (int link = 0; link < schedule.shape.num_links(); ++link) {
      times.links.push_back({seconds(random), seconds(random), seconds(random)});
      if (link > 0) times.send_s.push_back(trial % 3 * seconds(random));
    }
    const double expected = ReferencePlayer(schedule, times).step_s();
    const auto played = play(schedule, times);
    ASSERT_TRUE(played) << name_of(kind, schedule.shape);
    EXPECT_NEAR(played->step_s, expected, 1e-12 * expected) << name_of(kind, schedule.shape);
  }
}

TEST(Play, BubblesOfFourStagesAndEightMicroBatches) {
  // Engine design, section 9, with F = B = W: 27.3 / 27.3 / 15.8 / 11.1 / 5.9 %.
  const auto bubble = [](ScheduleKind kind) {
    const PipelineSchedule schedule = schedule_of(kind, 4, 8);
    return play(schedule, equal_times(schedule.shape, {1, 1, 1}))->bubble_ratio;
  };
  EXPECT_NEAR(bubble(ScheduleKind::gpipe), 0.273, 0.0005);
  EXPECT_NEAR(bubble(ScheduleKind::one_f_one_b), 0.273, 0.0005);
  EXPECT_NEAR(bubble(ScheduleKind::interleaved), 0.158, 0.0005);
  EXPECT_NEAR(bubble(ScheduleKind::zb_h1), 0.111, 0.0005);
  EXPECT_NEAR(bubble(ScheduleKind::zb_h2), 0, 1e-12);
  EXPECT_NEAR(bubble(ScheduleKind::zb_v), 0.059, 0.0005);
}

TEST(Play, SkippingTurnsChangesNothing) {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> any(0.5, 1.5);
  const auto pick = [&random](auto... values) {
    const std::array options{values...};
    return options[random() % options.size()];
  };
  for (int trial = 0; trial < 240; ++trial) {
    const ScheduleKind kind =
        kScheduleKinds[static_cast<std::size_t>(trial) % kScheduleKinds.size()];
    const int stages = pick(1, 2, 3, 4, 6);
    const std::int64_t count = pick(20, 57, 600, 4000);
    const PipelineSchedule schedule =
        pick(true, false) ? schedule_of(kind, stages, count) : in_pairs(kind, stages, count);
    const auto links = static_cast<std::size_t>(schedule.shape.num_links());
    // Far apart, nearly equal (another stage becomes the slow one late), or equal.
    const double spread = pick(1.0, 3e-3, 3e-4, 0.0);
    const double send = pick(0.0, 0.05, 0.7);
    ScheduleTimes times;
    for (std::size_t link = 0; link < links; ++link) {
      const auto time = [&] { return 1 + spread * (any(random) - 1); };
      times.links.push_back({time(), time(), time()});
      if (link + 1 < links) times.send_s.push_back(send * any(random));
    }
    const auto full = play_in_full(schedule, times);
    const auto short_cut = play(schedule, times);
    ASSERT_TRUE(full && short_cut) << name_of(kind, schedule.shape);
    EXPECT_EQ(short_cut->step_s, full->step.step_s)
        << name_of(kind, schedule.shape) << " spread " << spread << " send " << send;
  }
}

TEST(Play, AnyNumberOfMicroBatchesTakesTheSameTime) {
  // A tick is 2^-60 of all work: 1e12 micro-batches on 16 stages leave a few parts in a million.
  for (const ScheduleKind kind : kScheduleKinds) {
    const std::int64_t count = 1'000'000'000'000;
    const PipelineSchedule schedule = schedule_of(kind, 16, count);
    const LinkSeconds equal{1, 1, 1};
    const double work = 3.0 * static_cast<double>(count) * schedule.shape.num_chunks;
    EXPECT_NEAR(step_of(schedule, equal) / (work + closed_bubble_s(kind, 16, equal)), 1, 1e-12)
        << enum_name(kind);
  }
}

TEST(Play, TheSlowestStageSetsThePace) {
  const PipelineSchedule schedule = schedule_of(ScheduleKind::one_f_one_b, 3, 50);
  const auto step = play(schedule, {.links = {{1, 1, 1}, {4, 4, 4}, {1, 1, 1}}, .send_s = {}});
  ASSERT_TRUE(step);
  // First forward before it, last backward after it.
  EXPECT_DOUBLE_EQ(step->step_s, 1 + 50 * 12 + 2);
  EXPECT_EQ(step->busy_s, (std::vector<double>{150, 600, 150}));
  EXPECT_NEAR(step->bubble_ratio, 3.0 / 603, 1e-15);
}

TEST(Play, MessagesDelayTheOtherStage) {
  // One micro-batch on three stages: 2 messages up, 2 down.
  const PipelineSchedule schedule = schedule_of(ScheduleKind::gpipe, 3, 1);
  ScheduleTimes times = equal_times(schedule.shape, {1, 1, 1});
  times.send_s = {0.25, 0.5};
  EXPECT_DOUBLE_EQ(play(schedule, times)->step_s, 9 + 2 * 0.75);
  // The turn of a V stays on its stage; a weight gradient on either stage comes between.
  const PipelineSchedule v = schedule_of(ScheduleKind::zb_v, 2, 1);
  times = equal_times(v.shape, {1, 1, 1});
  times.send_s = {0.25, 100, 0.5};
  EXPECT_DOUBLE_EQ(play(v, times)->step_s, 4 + 0.75 + 4 + 0.75 + 2);
}

TEST(Play, OfOneStageIsItsWork) {
  for (const ScheduleKind kind : kScheduleKinds) {
    const PipelineSchedule schedule = schedule_of(kind, 1, 100);
    EXPECT_DOUBLE_EQ(step_of(schedule, {1, 2, 3}), 600.0 * schedule.shape.num_chunks);
  }
}

TEST(Play, RefusesTimesOfAnotherShape) {
  const PipelineSchedule schedule = schedule_of(ScheduleKind::one_f_one_b, 2, 2);
  EXPECT_FALSE(play(schedule, {}));
  ScheduleTimes times = equal_times(schedule.shape, {1, 1, 1});
  times.send_s = {1, 1};
  EXPECT_FALSE(play(schedule, times));
}

TEST(PlayInFull, StagesDoOneThingAtATimeAndWaitForTheirInput) {
  for (const ScheduleKind kind : kScheduleKinds) {
    const PipelineSchedule schedule = schedule_of(kind, 4, 9);
    ScheduleTimes times = equal_times(schedule.shape, {1, 1.5, 0.75});
    times.send_s.assign(times.links.size() - 1, 0.125);
    const auto timeline = play_in_full(schedule, times);
    ASSERT_TRUE(timeline);
    std::vector<std::vector<double>> forward_end(
        times.links.size(),
        std::vector<double>(static_cast<std::size_t>(schedule.shape.num_micro_batches)));
    for (int stage = 0; stage < 4; ++stage) {
      double before = 0, busy = 0;
      const auto& played = timeline->stages[static_cast<std::size_t>(stage)];
      EXPECT_EQ(played.size(), actions_of(schedule.stages[static_cast<std::size_t>(stage)]).size());
      for (const PlayedAction& p : played) {
        EXPECT_GE(p.start_s, before) << name_of(kind, schedule.shape);
        before = p.end_s;
        busy += p.end_s - p.start_s;
        const auto link = static_cast<std::size_t>(schedule.shape.link({stage, p.action.chunk}));
        if (p.action.work == Work::forward)
          forward_end[link][static_cast<std::size_t>(p.action.micro_batch)] = p.end_s;
      }
      EXPECT_NEAR(busy, timeline->step.busy_s[static_cast<std::size_t>(stage)], 1e-9);
      EXPECT_LE(before, timeline->step.step_s);
    }
    for (std::size_t link = 1; link < forward_end.size(); ++link) {
      for (std::size_t i = 0; i < forward_end[link].size(); ++i)
        EXPECT_GE(forward_end[link][i], forward_end[link - 1][i] + 1);
    }
  }
}

}  // namespace
}  // namespace tera::plan
