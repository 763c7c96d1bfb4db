#include "core/plan/published_software.h"

#include <gtest/gtest.h>

#include "tests/core/plan/published_rows.h"

namespace tera::plan {
namespace {

spec::RunSpec software_of(const std::map<std::string, std::string>& cells) {
  spec::RunSpec spec;
  set_published_software(row_with(cells), spec);
  return spec;
}

TEST(PublishedSoftware, ErasAreToldApart) {
  const spec::RunSpec old = software_of({{"group", "SC21"}});
  EXPECT_FALSE(old.software.fused_attention);
  EXPECT_FALSE(old.software.gradient_overlap);
  EXPECT_EQ(old.training.gradient_precision, spec::GradientPrecision::bf16);
  const spec::RunSpec recent = software_of({{"group", "DGXC"}});
  EXPECT_TRUE(recent.software.fused_attention);
  EXPECT_TRUE(recent.software.tensor_overlap);
  EXPECT_FALSE(software_of({{"group", "SIMUMAX"}}).software.gradient_overlap);
  EXPECT_EQ(software_of({{"group", "MPT"}}).software.framework, spec::Framework::torchtitan);
  EXPECT_EQ(software_of({{"group", "of nobody"}}).software.framework, spec::Framework::megatron_lm);
}

TEST(PublishedSoftware, RecipesForSpeedSumGradientsIn16Bits) {
  const auto sums = [](const char* group, const char* source) {
    return software_of({{"group", group}, {"source", source}}).training.gradient_precision;
  };
  for (const char* group : {"MBRIDGE", "NEMO", "MLPERF", "DGXC"})
    EXPECT_EQ(sums(group, "a summary"), spec::GradientPrecision::bf16) << group;
  EXPECT_EQ(sums("DGXC", "nemotron/README_15b.md + nemotron4-15b-synth.yaml"),
            spec::GradientPrecision::fp32);
  for (const char* group : {"MLM-H100", "TITAN", "MEGASCALE", "NANO"})
    EXPECT_EQ(sums(group, "a summary"), spec::GradientPrecision::fp32) << group;
}

TEST(PublishedSoftware, NotesOfARowCount) {
  EXPECT_FALSE(software_of({{"group", "TITAN"}, {"notes", "eager. 8B"}}).software.compiled);
  EXPECT_TRUE(software_of({{"group", "TITAN"}, {"notes", "asyncTP"}}).software.tensor_overlap);
  EXPECT_FALSE(
      software_of({{"group", "DGXC"}, {"notes", "tp-comm-overlap off"}}).software.tensor_overlap);
}

TEST(PublishedSoftware, TorchTitanCompilesTheLossSince2025) {
  const auto fused = [](const char* source) {
    return software_of({{"group", "TITAN"}, {"source", source}}).software.fused_cross_entropy;
  };
  EXPECT_FALSE(fused("benchmarks/llama3_h100_202412_torchtitan.md"));
  EXPECT_TRUE(fused("benchmarks/llama3-8b_h200_202506_trainy-whitefiber.md"));
}

TEST(PublishedSoftware, RoutingForcedToBeEvenHasNoBusiestRank) {
  EXPECT_GT(software_of({}).layout.expert_load_percentile, 0);
  EXPECT_EQ(software_of({{"notes", "MoE: force-balanced routing."}}).layout.expert_load_percentile,
            0);
}

TEST(PublishedSoftware, BloomChangedItsPrecisionOnTheLastDays) {
  const auto precision = [](const char* notes) {
    return software_of({{"group", "BLOOM"}, {"notes", notes}}).training.precision;
  };
  EXPECT_EQ(precision("02-24; trial"), spec::Precision::fp16);
  EXPECT_EQ(precision("02-28; trial"), spec::Precision::bf16);
}

TEST(PublishedSoftware, RunsBeforeAndAfterAMachineChangedAreNotCompared) {
  const auto state = [](const char* group, const char* notes) {
    return machine_state(row_with({{"group", group}, {"notes", notes}}));
  };
  EXPECT_NE(state("BLOOM", "02-24; trial"), state("BLOOM", "02-25; trial"));
  EXPECT_EQ(state("BLOOM", "02-25; trial"), state("BLOOM", "02-28; trial"));
  EXPECT_EQ(state("SC21", "02-24; trial"), "");
}

TEST(PublishedSoftware, MemoryColumnsMeasureDifferentThings) {
  EXPECT_EQ(memory_reading("BLOOM"), MemoryReading::device);
  EXPECT_EQ(memory_reading("SIMUMAX"), MemoryReading::allocated);
  EXPECT_EQ(memory_reading("of nobody"), MemoryReading::reserved);
}

}  // namespace
}  // namespace tera::plan
