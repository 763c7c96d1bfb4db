// What a run directory holds of a training: metrics and events.
#include "core/train/run_reporter.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "core/run/run_state.h"
#include "tests/core/run/temp_dir.h"

namespace tera::train {
namespace {

class Reports : public run::test::TempDirTest {
 protected:
  run::RunDirectory directory() const {
    spec::RunSpec spec;
    spec.name = "reported";
    return run::RunDirectory::create(posix_vfs(), dir_ / "runs", spec).value();
  }
};

TEST_F(Reports, TheFirstRecordSaysThatTheRunIsRunning) {
  const run::RunDirectory dir = directory();
  std::vector<run::MetricRecord> seen;
  RunReporter reporter = RunReporter::open(dir, 2, [&](const run::MetricRecord& record) {
                           seen.push_back(record);
                         }).value();
  for (std::int64_t step = 1; step <= 2; ++step) {
    reporter.set_checkpoint_s(step == 1 ? 0.75 : 0);
    ASSERT_TRUE(reporter.report({.attempt = 2, .step = step, .values = {{"loss", 4.5}}}));
  }
  ASSERT_TRUE(reporter.sync());
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].value("checkpoint_s", 0), 0.75);
  EXPECT_FALSE(seen[1].has("checkpoint_s"));
  EXPECT_GT(seen[0].value("process_memory", 0), 0);

  run::MetricReader reader(dir.metrics_file(2).parent_path());
  EXPECT_EQ(reader.poll().value().records, seen);
  const std::vector<run::RunEvent> events = run::read_events(dir).value();
  const auto running = std::count_if(events.begin(), events.end(),
                                     [](const auto& event) { return event.state == "running"; });
  EXPECT_EQ(running, 1);
  EXPECT_EQ(events.back().detail, "step 1, loss 4.5000");
  EXPECT_EQ(events.back().attempt, 2);
}

TEST_F(Reports, EventsCarryTheirStep) {
  const run::RunDirectory dir = directory();
  const RunReporter reporter = RunReporter::open(dir, 1, {}).value();
  ASSERT_TRUE(reporter.event("checkpoint", "step-7", 7));
  const run::RunEvent event = run::read_events(dir).value().back();
  EXPECT_EQ(event.state, "checkpoint");
  EXPECT_EQ(event.detail, "step-7");
  EXPECT_EQ(event.step, 7);
  EXPECT_GT(event.time_s, 0);
}

}  // namespace
}  // namespace tera::train
