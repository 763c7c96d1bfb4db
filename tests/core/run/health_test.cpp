#include "core/run/health.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

namespace tera::run {
namespace {

MetricRecord record(std::int64_t step, double loss) {
  MetricRecord made;
  made.step = step;
  made.values = {{"loss", loss}};
  return made;
}

RunStatus running() {
  RunStatus status;
  status.state = RunState::running;
  status.alive = true;
  return status;
}

TEST(Health, FindsASpikeButNotTheFallOfAHealthyRun) {
  Health health;
  std::mt19937 random(3);
  std::normal_distribution<double> noise(0, 0.05);
  for (int step = 1; step <= 300; ++step)
    health.observe(record(step, 4 + 4 * std::exp(-step / 60.0) + noise(random)));
  EXPECT_TRUE(health.findings(running(), 0, 0).empty());
  health.observe(record(301, 9));
  const auto found = health.findings(running(), 0, 0);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found.front().what.message.find("spike at step 301"), std::string::npos);
}

TEST(Health, KeepsOnlyTheLastSpikes) {
  Health health;
  std::mt19937 random(3);
  std::normal_distribution<double> noise(0, 0.05);
  for (int step = 1; step <= 2000; ++step)
    health.observe(record(step, 4 + noise(random) + (step % 300 == 0 ? 9 : 0)));
  const auto found = health.findings(running(), 0, 0);
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found.front().key, "spike 900");
  EXPECT_EQ(found.back().key, "spike 1800");
}

TEST(Health, NamesNotANumberSilenceAndSlowness) {
  Health health;
  RunStatus status = running();
  status.last_record_s = 1000;
  MetricRecord slow = record(5, std::nan(""));
  slow.values.emplace_back("tokens_per_s", 100);
  slow.values.emplace_back("step_s", 1.0);
  health.observe(slow);
  const auto found = health.findings(status, 1034, 1000);
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].what.severity, Severity::error);
  EXPECT_NE(found[0].what.message.find("since step 5"), std::string::npos);
  EXPECT_NE(found[1].what.message.find("no record for 34 s"), std::string::npos);
  EXPECT_EQ(found[2].what.message.rfind("10.0 %", 0), 0U) << found[2].what.message;
  EXPECT_EQ(health.findings(status, 1009, 0).size(), 1U);  // nine seconds are not silence yet
  EXPECT_EQ(health.findings(status, 1600, 1000)[1].key, found[1].key) << "the same trouble";
}

TEST(Health, SilenceIsFiveOfTheRunsOwnSteps) {
  Health health;
  EXPECT_EQ(health.stale_after_s(), 10);
  MetricRecord slow = record(1, 5);
  slow.values.emplace_back("step_s", 60.0);
  health.observe(slow);
  EXPECT_EQ(health.stale_after_s(), 300);
}

TEST(Health, ListsHotAndDeadExpertsOfTheNewestRecord) {
  Health health;
  MetricRecord loads = record(1, 5);
  loads.expert_load = {{1, 1, 1, 1, 1, 1, 1, 1, 1, 12}, {0, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
  loads.expert_layers = {3, 4};
  health.observe(loads);
  const auto found = health.findings({}, 0, 0);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].what.field, "layer 3 expert 9");
  EXPECT_NE(found[0].what.message.find("hot"), std::string::npos);
  EXPECT_NE(found[1].what.message.find("dead"), std::string::npos);
  EXPECT_EQ(found[0].what.severity, Severity::note);  // the router is still settling
  loads.step = 500;
  health.observe(loads);
  EXPECT_EQ(health.findings({}, 0, 0)[0].what.severity, Severity::warning);
  loads.expert_load = {{1, 1}, {1, 1}};
  health.observe(loads);
  EXPECT_TRUE(health.findings({}, 0, 0).empty()) << "they have recovered";
}

TEST(Health, AnEndedRunSaysWhy) {
  RunStatus status;
  status.state = RunState::failed;
  status.detail = "cannot write checkpoint: no space left";
  const auto found = Health().findings(status, 0, 0);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].what.message, status.detail);
  status.state = RunState::completed;
  EXPECT_TRUE(Health().findings(status, 0, 0).empty());
}

TEST(Health, UnreadableLinesAreFindings) {
  Health health;
  health.observe_problems({"line 1", "line 2", "line 3", "line 4", "line 5"});
  const auto found = health.findings(running(), 0, 0);
  ASSERT_EQ(found.size(), 4U) << "the last few";
  EXPECT_EQ(found.front().what.message, "line 2");
}

}  // namespace
}  // namespace tera::run
