#include "core/spec/this_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/own_runs.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

// Two sockets of two cores with two threads each.
std::string cpuinfo(const std::string& flags, const std::string& family = "6") {
  std::string text;
  for (int i = 0; i < 8; ++i) {
    text +=
        "processor\t: " + std::to_string(i) + "\ncpu family\t: " + family +
        "\nmodel name\t: Example CPU @ 3.00GHz\ncpu MHz\t\t: " + (i == 3 ? "3000.5" : "1200.0") +
        "\nphysical id\t: " + std::to_string(i / 4) + "\ncore id\t\t: " + std::to_string(i % 2) +
        "\nflags\t\t: " + flags + "\n\n";
  }
  return text;
}

TEST(ParseCpuinfo, CountsCoresNotThreads) {
  const ProcessorInfo info = parse_cpuinfo(cpuinfo("sse2 avx avx2 fma"));
  EXPECT_EQ(info.name, "Example CPU @ 3.00GHz");
  EXPECT_EQ(info.num_processors, 8);
  EXPECT_EQ(info.num_cores, 4);
  EXPECT_DOUBLE_EQ(info.clock_hz, 3000.5e6);
  EXPECT_EQ(info.f32_flops_per_cycle, 32);
}

TEST(ParseCpuinfo, RatesFollowTheVectorUnits) {
  EXPECT_EQ(parse_cpuinfo(cpuinfo("avx512f avx512_bf16")).f32_flops_per_cycle, 64);
  EXPECT_EQ(parse_cpuinfo(cpuinfo("avx512f avx512_bf16")).bf16_flops_per_cycle, 128);
  EXPECT_EQ(parse_cpuinfo(cpuinfo("avx512f avx512_bf16", "25")).f32_flops_per_cycle, 32);
  EXPECT_EQ(parse_cpuinfo(cpuinfo("sse2")).f32_flops_per_cycle, 8);
}

TEST(ParseCpuinfo, NonsenseGivesOneSlowCore) {
  for (const std::string text :
       {"", "processor", ":::\n:\n", "cpu MHz : -5\nflags :\n", "\xff\xfe"}) {
    const ProcessorInfo info = parse_cpuinfo(text);
    EXPECT_EQ(info.num_cores, 1) << text;
    EXPECT_GE(info.clock_hz, 0) << text;
  }
}

ClusterPreset described(const MachineTexts& texts) {
  ClusterPreset preset;
  describe_machine(texts, preset);
  return preset;
}

TEST(DescribeMachine, EstimatesSayThatTheyAreEstimates) {
  ClusterPreset preset = described({.cpuinfo = cpuinfo("avx2 fma"),
                                    .meminfo = "MemTotal:  16384 kB\n",
                                    .profile = {},
                                    .available_processors = 0});
  const DeviceSpec& device = preset.cluster.device;
  EXPECT_DOUBLE_EQ(device.peak_flops_per_s_f32, 4 * 3000.5e6 * 32);
  EXPECT_EQ(device.memory_bytes, 16384.0 * 1024);
  EXPECT_TRUE(device.is_cpu);
  EXPECT_THAT(preset.sources["device.peak_flops_per_s_f32"],
              HasSubstr("estimate: 4 cores x 3.00 GHz x 32 flop per cycle"));
}

TEST(DescribeMachine, AProcessLimitedToTwoProcessorsHasTwoCores) {
  const ClusterPreset preset = described(
      {.cpuinfo = cpuinfo("avx2 fma"), .meminfo = {}, .profile = {}, .available_processors = 2});
  EXPECT_DOUBLE_EQ(preset.cluster.device.peak_flops_per_s_f32, 2 * 3000.5e6 * 32);
}

constexpr const char* kProfile =
    "measured_on: 2024-05-01\n"
    "processor: Example CPU @ 3.00GHz\n"
    "peak_flops_per_s_f32: 400e9\n"
    "matmul_efficiency: 0.9\n";

TEST(DescribeMachine, TheMeasuredProfileReplacesEstimates) {
  ClusterPreset preset = described({.cpuinfo = cpuinfo("avx2 fma"),
                                    .meminfo = {},
                                    .profile = kProfile,
                                    .available_processors = 0});
  EXPECT_EQ(preset.cluster.device.peak_flops_per_s_f32, 400e9);
  EXPECT_EQ(preset.cluster.device.matmul_efficiency, 0.9);
  EXPECT_DOUBLE_EQ(preset.cluster.device.peak_flops_per_s_bf16, 4 * 3000.5e6 * 32);  // not measured
  EXPECT_EQ(preset.sources["device.peak_flops_per_s_f32"],
            "measured by `teragpt bench device` on 2024-05-01");
  EXPECT_TRUE(preset.notes.empty());
}

TEST(DescribeMachine, AProfileOfAnotherProcessorIsIgnoredWithANote) {
  std::string other = kProfile;
  other.replace(other.find("Example"), 7, "Another");
  const ClusterPreset preset = described(
      {.cpuinfo = cpuinfo("avx2 fma"), .meminfo = {}, .profile = other, .available_processors = 0});
  EXPECT_DOUBLE_EQ(preset.cluster.device.peak_flops_per_s_f32, 4 * 3000.5e6 * 32);
  ASSERT_EQ(preset.notes.size(), 1U);
  EXPECT_EQ(preset.notes[0].severity, Severity::note);
  EXPECT_THAT(preset.notes[0].message, HasSubstr("'Another CPU @ 3.00GHz'"));
}

TEST(DescribeMachine, BrokenProfilesAreIgnoredWithANote) {
  for (const char* profile : {"- a", "peak_flops_per_s_f32: -1", "unknown: 1", "{{{{", "\x01"}) {
    const ClusterPreset preset = described({.cpuinfo = cpuinfo("avx2 fma"),
                                            .meminfo = {},
                                            .profile = profile,
                                            .available_processors = 0});
    EXPECT_EQ(preset.notes.size(), 1U) << profile;
    EXPECT_DOUBLE_EQ(preset.cluster.device.peak_flops_per_s_f32, 4 * 3000.5e6 * 32) << profile;
  }
}

// Own runs of a preset, each `ratio` times as long as planned.
std::string own_runs(const ClusterPreset& preset, double ratio) {
  std::vector<OwnRun> runs;
  for (const double planned_s : {1.0, 2.0}) {
    runs.push_back({.run = "r",
                    .name = "n",
                    .precision = "bf16",
                    .time_s = 1,
                    .figures = preset.figures,
                    .planned_s = planned_s,
                    .step_s = planned_s * ratio,
                    .spread = 0,
                    .num_steps = 50});
  }
  return own_runs_text(runs);
}

TEST(DescribeMachine, OwnRunsRefineTheProfile) {
  MachineTexts texts{.cpuinfo = cpuinfo("avx2 fma"),
                     .meminfo = {},
                     .profile = kProfile,
                     .available_processors = 0};
  const ClusterPreset plain = described(texts);
  EXPECT_EQ(plain.own_runs.num_runs, 0);
  EXPECT_EQ(plain.cluster, plain.before_own_runs);
  texts.own_runs = own_runs(plain, 1.25);
  ClusterPreset refined = described(texts);
  EXPECT_EQ(refined.own_runs.num_specs, 2);
  EXPECT_DOUBLE_EQ(refined.cluster.device.matmul_efficiency, 0.9 / 1.25);
  EXPECT_EQ(refined.cluster.device.peak_flops_per_s_f32, 400e9) << "only shares move";
  EXPECT_EQ(refined.before_own_runs, plain.cluster);
  EXPECT_EQ(refined.figures, plain.figures) << "runs to come count beside those before";
  EXPECT_THAT(refined.sources["device.matmul_efficiency"],
              HasSubstr("measured in 2 own runs of 2 specs"));
  EXPECT_THAT(refined.sources["device.matmul_efficiency"],
              HasSubstr("before them: measured by `teragpt bench device` on 2024-05-01"));
  EXPECT_TRUE(refined.notes.empty());
}

TEST(DescribeMachine, OwnRunsOfAnotherProfileDoNotCount) {
  MachineTexts texts{
      .cpuinfo = cpuinfo("avx2 fma"), .meminfo = {}, .profile = {}, .available_processors = 0};
  texts.own_runs = own_runs(described(texts), 1.25);
  EXPECT_EQ(described(texts).own_runs.num_runs, 2) << "estimates are refined, too";
  texts.profile = kProfile;
  const ClusterPreset measured = described(texts);
  EXPECT_EQ(measured.own_runs.num_runs, 0);
  EXPECT_EQ(measured.cluster, measured.before_own_runs);
}

TEST(DescribeMachine, BadLinesOfOwnRunsAreOneNote) {
  MachineTexts texts{
      .cpuinfo = cpuinfo("avx2 fma"), .meminfo = {}, .profile = {}, .available_processors = 0};
  texts.own_runs = "no sense\n" + own_runs(described(texts), 1.25) + "{}\n";
  const ClusterPreset preset = described(texts);
  EXPECT_EQ(preset.own_runs.num_runs, 2);
  ASSERT_EQ(preset.notes.size(), 1U);
  EXPECT_THAT(preset.notes[0].message, HasSubstr("2 lines were passed over; line 1: "));
  EXPECT_THAT(preset.notes[0].hint, HasSubstr("teragpt bench runs"));
}

}  // namespace
}  // namespace tera::spec
