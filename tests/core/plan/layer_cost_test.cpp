#include "core/plan/layer_cost.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "core/plan/time_constants.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

// Mixtral on one H100 by Megatron-LM, nothing left to the host.
spec::RunSpec megatron_spec() {
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.layout = {};
  spec.layout.micro_batch_size = 2;
  spec.cluster = spec::cluster_preset("h100-ib")->cluster;
  spec.training.precision = spec::Precision::bf16;
  spec.software.framework = spec::Framework::megatron_lm;
  spec.software.cuda_graphs = true;
  return spec;
}

PassCost layer_of(const spec::RunSpec& spec, bool moe = true) {
  const RankMesh mesh = *RankMesh::make(spec.layout);
  return LayerCost(spec, mesh).layer(moe);
}

TEST(LayerCost, EightBitProductsAreFasterAndTheirCastsCost) {
  spec::RunSpec spec = megatron_spec();
  const PassCost wide = layer_of(spec);
  spec.training.precision = spec::Precision::fp8_tensor;
  const PassCost narrow = layer_of(spec);
  const spec::DeviceSpec& device = spec.cluster.device;
  const double gain = device.peak_flops_per_s_fp8 * device.fp8_efficiency /
                      (device.peak_flops_per_s_bf16 * device.matmul_efficiency);
  EXPECT_GT(gain, 1.5);
  EXPECT_NEAR(wide.forward.experts / narrow.forward.experts, gain, 1e-9);
  EXPECT_LT(wide.forward.streaming, narrow.forward.streaming);
  EXPECT_EQ(wide.forward.attention, narrow.forward.attention);  // stays in 16 bits
}

TEST(LayerCost, TheHostBoundsSmallLayersWithoutGraphs) {
  spec::RunSpec spec = megatron_spec();
  spec.layout.micro_batch_size = 1;
  spec.training.seq_length = 64;
  const double recorded_s = layer_of(spec).total();
  spec.software.cuda_graphs = false;
  const double op_s = spec.cluster.device.op_overhead_s * kHostOps.value;
  const double ops = kForwardOps.value + kBackwardOps.value +
                     3 * (kRoutingOps.value + 8 * kExpertOps.value);  // eight experts
  EXPECT_NEAR(layer_of(spec).total(), ops * op_s, 1e-9);
  EXPECT_LT(recorded_s, ops * op_s);
  spec.training.seq_length = 32768;  // long enough for the device to be the slower one
  const double device_s = layer_of(spec).total();
  spec.software.cuda_graphs = true;
  EXPECT_DOUBLE_EQ(layer_of(spec).total(), device_s);
}

// GPT by DeepSpeed's first stage, operation by operation: weight gradients are summed apart at 10
// B, and starts of 40 + 60 operations, 40 more where forward is repeated, add to the device's time.
TEST(LayerCost, BlockingStartsAddToTheTimeOfALayerHoweverManyRanksShareIt) {
  spec::RunSpec spec = megatron_spec();
  spec.model = model_config("gpt2-124m");
  spec.software.framework = spec::Framework::deepspeed;
  spec.software.cuda_graphs = spec.software.fused_attention = spec.software.compiled = false;
  spec.layout.zero_stage = 1;
  spec.layout.recompute = spec::RecomputeKind::full;
  spec.layout.micro_batch_size = 64;  // long enough for the device to be the slower one
  const double blocking_s = layer_of(spec, false).total();
  spec.layout.zero_stage = 0;
  const double queued_s = layer_of(spec, false).total();
  const double op_s = spec.cluster.device.op_overhead_s * kHostOps.value;
  EXPECT_NEAR(blocking_s - queued_s, kBlockingStart.value * (40 + 60 + 40) * op_s, 1e-9);
}

TEST(LayerCost, ASynchronizedMessageStartsTheHostAgain) {
  spec::RunSpec spec = megatron_spec();
  spec.layout.pipeline_parallel_size = 4;
  const RankMesh mesh = *RankMesh::make(spec.layout);
  const auto send_s = [&] { return LayerCost(spec, mesh).blocking_send_s(); };
  // Six operations of 5.6 starts of 4.6 us each, and the share of the message.
  const double restart_s = 6 * 5.6 * 4.6e-6;
  EXPECT_NEAR(send_s(), restart_s + kBlockingSend.value * LayerCost(spec, mesh).stage_send_s(),
              1e-12);
  spec.layout.schedule = spec::ScheduleKind::zb_h1;
  EXPECT_EQ(send_s(), 0);
}

TEST(LayerCost, OverlappedTensorMessagesShowInPart) {
  spec::RunSpec spec = megatron_spec();
  spec.layout.tensor_parallel_size = 8;
  spec.layout.sequence_parallel = true;
  spec.cluster.num_nodes = 1;
  const double apart = layer_of(spec).forward.tensor;
  spec.software.tensor_overlap = true;
  EXPECT_NEAR(layer_of(spec).forward.tensor, kTensorShown.value * apart, 1e-12);
}

TEST(LayerCost, OperationsOneByOneReadMemoryAgain) {
  spec::RunSpec spec = megatron_spec();
  const double fused = layer_of(spec, true).forward.streaming;
  spec.software.compiled = false;
  EXPECT_NEAR(layer_of(spec, true).forward.streaming / fused, kEagerTraffic.value, 1e-9);
}

TEST(LayerCost, MegatronFusedElementwiseOperationsBeforeAttention) {
  spec::SoftwareConfig software{.framework = spec::Framework::megatron_lm, .compiled = false};
  EXPECT_FALSE(fuses_elementwise(software));
  software.fused_attention = false;
  EXPECT_TRUE(fuses_elementwise(software));
  software.framework = spec::Framework::torchtitan;
  EXPECT_FALSE(fuses_elementwise(software));
}

TEST(TimeConstants, EachHasANameAndASource) {
  std::set<std::string> names;
  for (const TimeConstant* constant : kTimeConstants) {
    EXPECT_TRUE(names.insert(std::string(constant->name)).second) << constant->name;
    EXPECT_GT(constant->source.size(), 20U) << constant->name;
    EXPECT_GT(constant->value, 0) << constant->name;
  }
}

}  // namespace
}  // namespace tera::plan
