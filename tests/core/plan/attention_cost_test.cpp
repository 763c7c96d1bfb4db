#include "core/plan/attention_cost.h"

#include <gtest/gtest.h>

#include "core/plan/time_constants.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

// 16 heads of 64, one sequence of 1,024 tokens.
spec::RunSpec small_spec() {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.model.num_attention_heads = 16;
  spec.model.num_key_value_heads = 16;
  spec.model.head_dim = 64;
  spec.training.seq_length = 1024;
  spec.layout.tensor_parallel_size = 1;
  spec.cluster.device.is_cpu = false;
  spec.cluster.device.num_multiprocessors = 0;  // no tiles to waste
  spec.cluster.device.matmul_efficiency = 0.5;
  spec.cluster.device.attention_efficiency = 0.25;
  return spec;
}
constexpr AttentionRates kRates{
    .tokens = 1024, .peak_flops_per_s = 1e12, .memory_bytes_per_s = 1e12, .element_bytes = 2};
constexpr double kSquares = 16.0 * 1024 * 1024;  // scores of all heads

TEST(AttentionCost, FusedIsCausalFlopsByTheReachedSpeed) {
  const AttentionSeconds s = attention_seconds(small_spec(), kRates);
  const double flops = 2 * kSquares / 2 * (64 + 64);
  const double half_length = 300 * (1e12 / 312e12);  // of an A100, by the speed
  const double rows = (1024 + half_length) / 1024;
  EXPECT_NEAR(s.forward, kAttentionForward.value * rows * flops / 0.25e12, 1e-12);
  EXPECT_NEAR(s.backward, 2.5 * kAttentionBackward.value * rows * flops / 0.25e12, 1e-12);
  // Both passes together run at the speed of the device.
  EXPECT_NEAR(kAttentionForward.value + 2.5 * kAttentionBackward.value, 3.5, 1e-9);
}

TEST(AttentionCost, TheHalfLengthGrowsWithTheSpeedOfAMultiprocessor) {
  spec::RunSpec spec = small_spec();
  const double on_108 = attention_seconds(spec, kRates).forward;
  const double flops = 2 * kSquares / 2 * (64 + 64);
  const double long_rows = kAttentionForward.value * flops / 0.25e12;
  spec.cluster.device.num_multiprocessors = 216;  // each half as fast
  EXPECT_NEAR(attention_seconds(spec, kRates).forward - long_rows, (on_108 - long_rows) / 2, 1e-12);
}

TEST(AttentionCost, AnOlderKernelHasItsShareOfTheSpeed) {
  spec::RunSpec spec = small_spec();
  const double best = attention_seconds(spec, kRates).forward;
  spec.software.attention_share = 0.5;
  EXPECT_NEAR(attention_seconds(spec, kRates).forward, 2 * best, 1e-15);
}

TEST(AttentionCost, F32HasAShareOfItsOwnWhereOneIsKnown) {
  spec::RunSpec spec = small_spec();
  const double half = attention_seconds(spec, kRates).forward;
  spec.cluster.device.f32_attention_efficiency = 0.5;
  const bool in_f32 = !spec.half_products();
  EXPECT_NEAR(attention_seconds(spec, kRates).forward, in_f32 ? half / 2 : half, 1e-15);
  spec.training.precision = in_f32 ? spec::Precision::bf16 : spec::Precision::fp32;
  EXPECT_NEAR(attention_seconds(spec, kRates).forward, in_f32 ? half : half / 2, 1e-15);
}

TEST(AttentionCost, StoredScoresPassThroughMemory) {
  spec::RunSpec spec = small_spec();
  spec.software.fused_attention = false;
  const AttentionSeconds plain = attention_seconds(spec, kRates);
  const double products = 2 * kSquares * (64 + 64) / 0.5e12;  // the whole square
  const double pass = kSquares * 2 / 1e12;
  EXPECT_NEAR(plain.forward, products + 4 * pass, 1e-12);
  EXPECT_NEAR(plain.backward, 2 * products + 7 * pass, 1e-12);
  spec.software.dropout = true;  // read, write, and a mask of half the size, each way
  const AttentionSeconds masked = attention_seconds(spec, kRates);
  EXPECT_NEAR(masked.forward - plain.forward, 2.5 * pass, 1e-12);
  EXPECT_NEAR(masked.backward - plain.backward, 2.5 * pass, 1e-12);
}

TEST(AttentionCost, HeadsOfOddWidthMissTheTensorCores) {
  spec::RunSpec spec = small_spec();
  spec.software.fused_attention = false;
  const double even = attention_seconds(spec, kRates).forward;
  spec.model.head_dim = 60;  // 120 B
  EXPECT_GT(attention_seconds(spec, kRates).forward, 5 * even);
  spec.model.head_dim = 72;  // 144 B: nine times 16
  EXPECT_LT(attention_seconds(spec, kRates).forward, 1.2 * even);
}

}  // namespace
}  // namespace tera::plan
