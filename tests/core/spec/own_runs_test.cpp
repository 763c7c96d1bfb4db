#include "core/spec/own_runs.h"

#include <cmath>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/vfs.h"
#include "tests/support/temp_dir.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

constexpr const char* kFigures = "0123456789abcdef";

OwnRun run_of(double planned_s, double ratio) {
  return {.run = "20260101-120000-0a1b2c3d",
          .name = "toy",
          .precision = "bf16",
          .time_s = 1767268800.5,
          .figures = kFigures,
          .planned_s = planned_s,
          .step_s = planned_s * ratio,
          .spread = 0.03,
          .num_steps = 97};
}

TEST(SteadyStepTimes, FirstStepsAreLeftOutAndTheMiddleCounts) {
  std::vector<double> steps(12, 2.0);
  EXPECT_FALSE(steady_step_times(steps)) << "three to warm up and nine";
  steps = {90, 80, 70, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100};
  const auto times = steady_step_times(steps);
  ASSERT_TRUE(times);
  EXPECT_EQ(times->median_s, 5.5);
  EXPECT_EQ(times->num_steps, 10);
  EXPECT_DOUBLE_EQ(times->spread, (8 - 3) / 5.5);
  EXPECT_FALSE(steady_step_times(std::vector<double>(20, 0.0))) << "a clock that stands";
}

TEST(FitOwnRuns, NoRunsChangeNothing) {
  const OwnRunsFit fit = fit_own_runs({}, kFigures);
  EXPECT_EQ(fit.factor, 1);
  EXPECT_EQ(fit.num_runs, 0);
  EXPECT_FALSE(fit.left_out_error);
}

TEST(FitOwnRuns, TheErrorIsThatOfSpecsLeftOut) {
  // Steps of nearly the same length weigh alike: the middle of the others is between them, but for
  // the last bits of the weights.
  const OwnRunsFit fit =
      fit_own_runs({run_of(1, 1), run_of(1.0001, 1.1), run_of(1.0002, 1.21)}, kFigures);
  EXPECT_DOUBLE_EQ(fit.factor, 1.1);
  EXPECT_EQ(fit.num_specs, 3);
  // The heavier of two decides: the first is planned by 1.21, the second too, the third by 1.1.
  ASSERT_TRUE(fit.left_out_error);
  EXPECT_NEAR(*fit.left_out_error, (0.21 + 0.1 + (1 - 1.1 / 1.21)) / 3, 1e-4);
  EXPECT_THAT(describe(fit), HasSubstr("3 own runs of 3 specs, whose steps took 1.1 times"));
  EXPECT_THAT(describe(fit), HasSubstr("error on specs left out 13.4 %"));
}

TEST(FitOwnRuns, LongStepsWeighMoreThanShortOnes) {
  const std::vector<OwnRun> runs = {run_of(0.005, 3.5), run_of(0.07, 2.3), run_of(0.9, 1.6),
                                    run_of(1.4, 1.5)};
  const OwnRunsFit fit = fit_own_runs(runs, kFigures);
  EXPECT_DOUBLE_EQ(fit.factor, 1.6);
  EXPECT_LT(*fit.left_out_error, 0.15) << "mostly that of the long ones";
}

TEST(FitOwnRuns, RunsOfASpecAreOneVoice) {
  const OwnRunsFit one = fit_own_runs({run_of(1, 1.2), run_of(1, 1.3), run_of(1, 1.4)}, kFigures);
  EXPECT_DOUBLE_EQ(one.factor, 1.3);
  EXPECT_EQ(one.num_runs, 3);
  EXPECT_EQ(one.num_specs, 1);
  EXPECT_FALSE(one.left_out_error) << "nothing was left out";
  EXPECT_THAT(describe(one), HasSubstr("3 own runs of 1 spec,"));
  EXPECT_THAT(describe(one), HasSubstr("not known"));
  const OwnRunsFit two = fit_own_runs({run_of(1, 2), run_of(1, 2), run_of(2, 0.5)}, kFigures);
  EXPECT_DOUBLE_EQ(two.factor, 0.5) << "twice as many runs, but a shorter step";
}

TEST(FitOwnRuns, AnOddRunMovesNothing) {
  const OwnRunsFit fit = fit_own_runs({run_of(1, 1.1), run_of(2, 1.1), run_of(3, 3.9)}, kFigures);
  EXPECT_DOUBLE_EQ(fit.factor, 1.1);
}

TEST(FitOwnRuns, WhatDoesNotCount) {
  OwnRun other = run_of(1, 2);
  other.figures = "another profile";
  OwnRun uneven = run_of(1, 2);
  uneven.spread = 0.51;
  for (const OwnRun& run : {other, uneven, run_of(1, 4.1), run_of(1, 0.24)}) {
    EXPECT_NE(why_not(run, kFigures), "");
    EXPECT_EQ(fit_own_runs({run}, kFigures).factor, 1);
  }
  EXPECT_EQ(why_not(run_of(1, 2), kFigures), "");
  EXPECT_NE(figures_key("a", "b"), figures_key("a", "c"));
  EXPECT_NE(figures_key("a", "b"), figures_key("b", "b"));
}

Cluster cluster_of(double matmul, double f32_matmul) {
  Cluster cluster;
  cluster.device.peak_flops_per_s_bf16 = 100e9;
  cluster.device.peak_flops_per_s_f32 = 50e9;
  cluster.device.memory_bytes_per_s = 10e9;
  cluster.device.matmul_efficiency = matmul;
  cluster.device.f32_matmul_efficiency = f32_matmul;
  cluster.device.attention_efficiency = 0.2;
  cluster.intra_node.bytes_per_s = 5e9;
  return cluster;
}

// What products and attention of a precision reach, and memory, in any split of peak and share.
std::vector<double> rates(const DeviceSpec& d) {
  return {d.peak_flops_per_s_bf16 * d.matmul_share(false),
          d.peak_flops_per_s_bf16 * d.attention_share(false),
          d.peak_flops_per_s_f32 * d.matmul_share(true),
          d.peak_flops_per_s_f32 * d.attention_share(true),
          d.memory_bytes_per_s * d.memory_efficiency,
          1 / d.op_overhead_s};
}

TEST(SlowDown, EveryRateFallsAlikeAndSharesStaySharesToo) {
  for (const double factor : {1.0, 1.25, 4.0, 0.8, 0.25}) {
    for (const auto& [matmul, f32] : {std::pair{0.9, 0.0}, {0.6, 0.7}, {0.02, 0.01}}) {
      const Cluster before = cluster_of(matmul, f32);
      Cluster after = before;
      slow_down(after, factor);
      const std::vector<double> then = rates(before.device);
      const std::vector<double> now = rates(after.device);
      for (std::size_t i = 0; i < then.size(); ++i)
        EXPECT_NEAR(then[i] / now[i], factor, 1e-12) << i << ", " << matmul << ", " << f32;
      EXPECT_NEAR(before.intra_node.bytes_per_s / after.intra_node.bytes_per_s, factor, 1e-12);
      const DeviceSpec& d = after.device;
      for (const double share : {d.matmul_efficiency, d.f32_matmul_efficiency,
                                 d.attention_efficiency, d.memory_efficiency}) {
        EXPECT_LE(share, 1);
        EXPECT_GE(share, 0.01 * (1 - 1e-12));
      }
      if (factor >= 1 && matmul > 0.5) {
        EXPECT_EQ(d.peak_flops_per_s_bf16, before.device.peak_flops_per_s_bf16)
            << "utilization is still of the peak";
      }
    }
  }
}

TEST(OwnRunsText, ReadsBackToTheBit) {
  OwnRun odd = run_of(0.1 + 0.2, 1.0 / 3);
  odd.name = "line\nbreak \"quoted\" \xc3\xa9";
  const std::vector<OwnRun> runs = {run_of(1, 1.1), odd};
  const OwnRuns read = parse_own_runs(own_runs_text(runs));
  EXPECT_EQ(read.runs, runs);
  EXPECT_EQ(read.num_bad_lines, 0);
  EXPECT_TRUE(parse_own_runs("").runs.empty());
  EXPECT_EQ(parse_own_runs("\n\n").num_bad_lines, 0);
}

TEST(OwnRunsText, BadLinesArePassedOverAndTheFirstIsTold) {
  const std::string good = own_runs_text({run_of(1, 1.1)});
  const auto with = [&good](const std::string& from, const std::string& to) {
    std::string line = good;
    line.replace(line.find(from), from.size(), to);
    return line;
  };
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"{\"run\":\"2026", "JSON"},
      {"\x04 no sense \xff\n", "JSON"},
      {"[1,2]\n", "expected an object"},
      {"{}\n", "run"},
      {with("\"planned_s\":1.0", "\"planned_s\":0"), "planned_s: got 0, expected a number"},
      {with("\"planned_s\":1.0", "\"planned_s\":\"1\""), "planned_s: got \"1\""},
      {with("\"step_s\":1.1", "\"step_s\":-1"), "step_s: got -1"},
      {with("\"step_s\":1.1", "\"step_s\":1e999"), "number overflow"},
      {with("\"spread\"", "\"spred\""), "spread: got nothing"},
      {with("\"num_steps\":97", "\"num_steps\":0"), "num_steps"},
      {with("\"figures\":", "\"run\":"), "run"}};
  for (const auto& [line, problem] : bad) {
    const OwnRuns read = parse_own_runs(good + line + "\n" + good);
    EXPECT_EQ(read.runs.size(), 2U) << line;
    EXPECT_EQ(read.num_bad_lines, 1) << line;
    EXPECT_THAT(read.problem, HasSubstr("line 2: ")) << line;
    EXPECT_THAT(read.problem, HasSubstr(problem)) << line;
  }
}

class OwnRunsFile : public testing::Test {
 protected:
  const test::TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "teragpt" / "own_runs.jsonl";
  std::vector<OwnRun> read() const {
    const Result<std::string> text = read_own_runs_text(file_);
    EXPECT_TRUE(text);
    return parse_own_runs(text.value_or("")).runs;
  }
};

TEST_F(OwnRunsFile, IsMadeKeptAndCleared) {
  EXPECT_TRUE(read().empty()) << "there is none";
  EXPECT_TRUE(clear_own_runs(file_));
  ASSERT_TRUE(add_own_run(file_, run_of(1, 1)));
  ASSERT_TRUE(add_own_run(file_, run_of(2, 1)));
  EXPECT_EQ(read(), (std::vector<OwnRun>{run_of(1, 1), run_of(2, 1)}));
  EXPECT_TRUE(clear_own_runs(file_));
  EXPECT_TRUE(read().empty());
}

TEST_F(OwnRunsFile, KeepsTheNewestHundred) {
  std::vector<OwnRun> many;
  for (int i = 1; i <= 100; ++i)
    many.push_back(run_of(i, 1));
  ASSERT_TRUE(add_own_run(file_, many.front()));
  ASSERT_TRUE(write_file_atomic(posix_vfs(), file_, own_runs_text(many) + "no sense\n"));
  ASSERT_TRUE(add_own_run(file_, run_of(101, 1)));
  const std::vector<OwnRun> left = read();
  ASSERT_EQ(left.size(), 100U);
  EXPECT_EQ(left.front().planned_s, 2);
  EXPECT_EQ(left.back().planned_s, 101);
}

TEST_F(OwnRunsFile, RunsThatEndTogetherAreAllKept) {
  {
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < 4; ++writer) {
      writers.emplace_back([this, writer] {
        for (int i = 1; i <= 5; ++i)
          EXPECT_TRUE(add_own_run(file_, run_of(10 * writer + i, 1)));
      });
    }
  }
  EXPECT_EQ(read().size(), 20U);
}

TEST_F(OwnRunsFile, WhereNothingCanBeWrittenItSaysSo) {
  const Result<void> added = add_own_run("/dev/null/teragpt/own_runs.jsonl", run_of(1, 1));
  ASSERT_FALSE(added);
  EXPECT_THAT(added.error().message, HasSubstr("/dev/null"));
  EXPECT_EQ(read_own_runs_text("/dev/null/teragpt/own_runs.jsonl").value_or("?"), "");
}

}  // namespace
}  // namespace tera::spec
