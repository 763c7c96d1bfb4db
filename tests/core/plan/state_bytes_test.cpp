#include "core/plan/state_bytes.h"

#include <numeric>

#include <gtest/gtest.h>

#include "core/plan/param_table.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using spec::Framework;
using spec::Precision;

ParamSpec matrix() {
  ParamSpec param;
  param.name = "layers.0.ffn.in.weight";
  param.shape = {256, 1024};
  param.layer = 0;
  param.row_parts = {256};
  return param;
}

spec::RunSpec run(Framework framework, Precision precision) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.software.framework = framework;
  spec.training.precision = precision;
  return spec;
}

// Bytes per parameter among `replicas` ranks of ZeRO.
double per_param(const spec::RunSpec& spec, double replicas) {
  const ParamSpec param = matrix();
  const StateBytes bytes = state_bytes(param, spec);
  double sum = 0;
  for (std::size_t i = 0; i < kNumStateItems; ++i) {
    const bool sharded =
        spec.layout.zero_stage >= state_rule(static_cast<StateItem>(i), spec).zero_from;
    sum += bytes[i] / (sharded ? replicas : 1);
  }
  return sum / static_cast<double>(param.num_elements());
}

// Megatron-LM, README of core 0.6, "Distributed optimizer": 20 and 4 + 16 / d for fp16, 18 and
// 6 + 12 / d for bf16.
TEST(StateBytes, OfMegatronAreThoseOfItsReadme) {
  spec::RunSpec spec = run(Framework::megatron_lm, Precision::fp16);
  spec.layout.zero_stage = 0;
  EXPECT_DOUBLE_EQ(per_param(spec, 8), 20);
  spec.layout.zero_stage = 1;
  EXPECT_DOUBLE_EQ(per_param(spec, 8), 4 + 16.0 / 8);
  spec.training.precision = Precision::bf16;
  EXPECT_DOUBLE_EQ(per_param(spec, 8), 6 + 12.0 / 8);
  spec.layout.zero_stage = 0;
  EXPECT_DOUBLE_EQ(per_param(spec, 8), 18);
  spec.training.gradient_precision = spec::GradientPrecision::bf16;
  EXPECT_DOUBLE_EQ(per_param(spec, 8), 16);
}

// The BF16 optimizer needs 4 bytes more than fp16, which are not sharded (BigScience 2022).
TEST(StateBytes, OfDeepSpeedGrowByTheSumsOfItsBf16Optimizer) {
  spec::RunSpec half = run(Framework::deepspeed, Precision::fp16);
  half.layout.zero_stage = 1;
  EXPECT_DOUBLE_EQ(per_param(half, 16), 2 + 2 + 16.0 / 16);
  spec::RunSpec brain = half;
  brain.training.precision = Precision::bf16;
  EXPECT_DOUBLE_EQ(per_param(brain, 16), per_param(half, 16) + 4);
}

TEST(StateBytes, OfFsdpAreF32AndSharded) {
  spec::RunSpec spec = run(Framework::torchtitan, Precision::bf16);
  spec.layout.zero_stage = 3;
  EXPECT_DOUBLE_EQ(per_param(spec, 64), 16.0 / 64);
  spec.layout.zero_stage = 2;
  EXPECT_DOUBLE_EQ(per_param(spec, 64), 2 + 16.0 / 64) << "gathered weights stay";
  spec.layout.zero_stage = 3;
  spec.layout.pipeline_parallel_size = 2;
  EXPECT_DOUBLE_EQ(per_param(spec, 64), 2 + 4 + 16.0 / 64) << "and in a pipeline sums of gradients";
}

// Megatron-LM, --fp8-param-gather: bytes of two quantised copies, no bf16 one; f32 gradients;
// master and moments are shared out.
TEST(StateBytes, WeightsInEightBitsHaveNoWiderCopy) {
  spec::RunSpec spec = run(Framework::megatron_lm, Precision::fp8_tensor);
  spec.layout.zero_stage = 1;
  EXPECT_DOUBLE_EQ(per_param(spec, 8), 2 + 4 + 12.0 / 8);
}

TEST(StateBytes, MomentsMayBeNarrower) {
  spec::RunSpec spec = run(Framework::teragpt, Precision::bf16);
  spec.layout.zero_stage = 0;
  const double whole = per_param(spec, 1);
  spec.training.moment_precision = spec::MomentPrecision::bf16;
  EXPECT_DOUBLE_EQ(per_param(spec, 1), whole - 4);
  spec.training.moment_precision = spec::MomentPrecision::int8;
  EXPECT_DOUBLE_EQ(per_param(spec, 1), whole - 8 + 2 * (1 + 4.0 / 256)) << "a scale for 256";
  ParamSpec embedding = matrix();
  embedding.kind = ParamKind::embedding;
  EXPECT_DOUBLE_EQ(state_bytes(embedding, spec)[static_cast<std::size_t>(StateItem::moments)],
                   8.0 * static_cast<double>(embedding.num_elements()));
}

TEST(StateBytes, NarrowProductsReadCopiesInBothDirections) {
  const auto copies = [](Framework framework, Precision precision) {
    const StateBytes bytes = state_bytes(matrix(), run(framework, precision));
    return bytes[static_cast<std::size_t>(StateItem::weight_copies)] / (256 * 1024);
  };
  EXPECT_DOUBLE_EQ(copies(Framework::megatron_lm, Precision::bf16), 0);
  EXPECT_DOUBLE_EQ(copies(Framework::megatron_lm, Precision::fp8_tensor), 2);
  EXPECT_DOUBLE_EQ(copies(Framework::megatron_lm, Precision::fp8_block), 2 * (1 + 4.0 / 128));
  EXPECT_DOUBLE_EQ(copies(Framework::teragpt, Precision::mxfp8), 2 * (1 + 1.0 / 32));
  EXPECT_DOUBLE_EQ(copies(Framework::megatron_lm, Precision::nvfp4), 2 * (0.5 + 1.0 / 16));
  EXPECT_DOUBLE_EQ(copies(Framework::deepspeed, Precision::fp8_tensor), 0);
}

}  // namespace
}  // namespace tera::plan
