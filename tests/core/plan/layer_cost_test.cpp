#include "core/plan/layer_cost.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "core/plan/layer_products.h"
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
  spec.software.cuda_graphs = spec::GraphScope::full;
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

TEST(LayerCost, F32ProductsReachAShareOfTheirOwnPeak) {
  spec::RunSpec spec = megatron_spec();
  const RankMesh mesh = *RankMesh::make(spec.layout);
  spec::DeviceSpec& device = spec.cluster.device;
  const auto reached = [&] { return LayerCost(spec, mesh).matmul_flops_per_s(); };
  const double half = device.peak_flops_per_s_bf16 * device.matmul_efficiency;
  EXPECT_DOUBLE_EQ(reached(), half);
  spec.training.precision = spec::Precision::fp32;
  EXPECT_DOUBLE_EQ(reached(), device.peak_flops_per_s_f32 * device.matmul_efficiency)
      << "none is known";
  device.f32_matmul_efficiency = 0.875;
  EXPECT_DOUBLE_EQ(reached(), device.peak_flops_per_s_f32 * 0.875);
  spec.training.precision = spec::Precision::bf16;
  EXPECT_DOUBLE_EQ(reached(), half);
}

TEST(LayerCost, TheHostBoundsSmallLayersWithoutGraphs) {
  spec::RunSpec spec = megatron_spec();
  spec.layout.micro_batch_size = 1;
  spec.training.seq_length = 64;
  spec.model.moe_ffn_hidden_size = 1024;  // whose weights are read in less time than it takes
  const double recorded_s = layer_of(spec).total();
  spec.software.cuda_graphs = spec::GraphScope::none;
  const double op_s = spec.cluster.device.op_overhead_s * kHostOps.value;
  const double ops = kForwardOps.value + kBackwardOps.value +
                     3 * (kRoutingOps.value + 8 * kExpertOps.value);  // eight experts
  EXPECT_NEAR(layer_of(spec).total(), ops * op_s, 1e-9);
  EXPECT_LT(recorded_s, ops * op_s);
  spec.model.moe_ffn_hidden_size = 14336;
  spec.training.seq_length = 32768;  // long enough for the device to be the slower one
  const double device_s = layer_of(spec).total();
  spec.software.cuda_graphs = spec::GraphScope::full;
  EXPECT_DOUBLE_EQ(layer_of(spec).total(), device_s);
}

// GPT by DeepSpeed's first stage, operation by operation: weight gradients are summed apart at 10
// B, and starts of 40 + 60 operations, 40 more where forward is repeated, add to the device's time.
TEST(LayerCost, BlockingStartsAddToTheTimeOfALayerHoweverManyRanksShareIt) {
  spec::RunSpec spec = megatron_spec();
  spec.model = model_config("gpt2-124m");
  spec.software.framework = spec::Framework::deepspeed;
  spec.software.cuda_graphs = spec::GraphScope::none;
  spec.software.fused_attention = spec.software.compiled = false;
  spec.layout.zero_stage = 1;
  spec.layout.recompute = spec::RecomputeKind::full;
  spec.layout.micro_batch_size = 64;  // long enough for the device to be the slower one
  const double blocking_s = layer_of(spec, false).total();
  spec.layout.zero_stage = 0;
  const double queued_s = layer_of(spec, false).total();
  const double op_s = spec.cluster.device.op_overhead_s * kHostOps.value;
  EXPECT_NEAR(blocking_s - queued_s, kBlockingStart.value * (40 + 60 + 40) * op_s, 1e-9);
}

// Cores fetch weights and multiply: with fewer rows for each weight than were measured, both.
TEST(LayerCost, AProcessorWaitsForTheWeightsOfFewRows) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  ASSERT_TRUE(spec.cluster.device.is_cpu);
  spec.training.precision = spec::Precision::bf16;
  const RankRates rates = rank_rates(spec);
  const auto product = [&](double rows, double copies) {
    const FittedTimes fitted;
    LayerProducts products(spec, rates, fitted);
    products.add(rows, 2048, 768, copies);
    return products.seconds();
  };
  constexpr double kWeights = 2048 * 768;
  const auto flops_s = [&](double rows) { return 2 * rows * kWeights / rates.matmul_flops_per_s; };
  for (const double rows : {512, 1024})
    EXPECT_DOUBLE_EQ(product(rows, 1).forward_s, flops_s(rows));
  const ProductSeconds few = product(128, 1);
  const double once_s = 0.75 * kWeights / rates.memory_bytes_per_s;  // a byte of each weight
  EXPECT_NEAR(few.forward_s, flops_s(128) + 2 * once_s, 1e-12);
  EXPECT_NEAR(few.backward_s, flops_s(128) + 2 * once_s, 1e-12);
  EXPECT_NEAR(few.weight_s, flops_s(128) + 8 * once_s, 1e-12);  // f32 sums, read and written
  EXPECT_NEAR(product(512, 4).forward_s, 4 * few.forward_s, 1e-12) << "of 128 rows each";
  spec.cluster.device.is_cpu = false;
  EXPECT_DOUBLE_EQ(product(128, 1).forward_s, flops_s(128));
}

TEST(LayerCost, ASynchronizedMessageStartsTheHostAgain) {
  spec::RunSpec spec = megatron_spec();
  spec.layout.pipeline_parallel_size = 4;
  const RankMesh mesh = *RankMesh::make(spec.layout);
  const auto send_s = [&] { return LayerCost(spec, mesh).blocking_send_s(); };
  // Six operations, each some starts of a kernel, and the share of the message.
  const double restart_s = 6 * kHostOps.value * spec.cluster.device.op_overhead_s;
  EXPECT_NEAR(send_s(), restart_s + kBlockingSend.value * LayerCost(spec, mesh).stage_send_s(),
              1e-12);
  spec.layout.schedule = spec::ScheduleKind::zb_h1;
  EXPECT_EQ(send_s(), 0);
}

// A gradient of 2 B is read and added to its sum, which is read and written.
TEST(LayerCost, SumsOfGradientsApartFromProductsPassOverMemory) {
  spec::RunSpec spec = megatron_spec();
  spec.model = model_config("gpt2-124m");
  spec.software.compiled = false;  // however attention works
  const auto weight_s = [&spec] {
    const RankMesh mesh = *RankMesh::make(spec.layout);
    return LayerCost(spec, mesh).layer(false).weight.dense;
  };
  const double weights = 12.0 * 768 * 768;
  const spec::DeviceSpec& device = spec.cluster.device;
  const double memory = device.memory_bytes_per_s * device.memory_efficiency;
  const double in_f32 = weight_s();
  spec.training.precision = spec::Precision::fp16;
  const double in_f16 = weight_s();
  EXPECT_NEAR(in_f32 - in_f16, 2 * 2 * weights / memory, 1e-12);
  spec.software.compiled = true;
  EXPECT_NEAR(in_f16 - weight_s(), 6 * weights / memory, 1e-12);
}

// Mixtral's eight experts over the eight ranks of a node: 2 x 4096 tokens of 8 KiB.
spec::RunSpec exchange_spec() {
  spec::RunSpec spec = megatron_spec();
  spec.layout.data_parallel_size = 8;
  spec.layout.expert_parallel_size = 8;
  spec.cluster.num_nodes = 1;
  return spec;
}

TEST(LayerCost, ATokenCrossesOnceForEachExpertOrForEachRank) {
  spec::RunSpec spec = exchange_spec();
  const spec::LinkSpec& link = spec.cluster.intra_node;
  const double rate = link.bytes_per_s * link.efficiency;
  const double bytes = 2 * 4096 * 8192.0;
  // Dispatch and combine; two rows of each token, 7 of 8 to other ranks, by 7 messages
  // side by side.
  const double plain_s = 2 * bytes * 7 / 8 / rate + link.latency_s;
  EXPECT_NEAR(layer_of(spec).forward.expert, 2 * (plain_s + kExchangeSetup.value), 1e-9);
  // Two choices of eight meet 8 (1 - (7 / 8)^2) = 1.875 ranks.
  spec.software.token_deduplication = true;
  const double once_s = 1.875 * bytes * 7 / 8 / rate + link.latency_s;
  EXPECT_NEAR(layer_of(spec).forward.expert, 2 * (once_s + kExchangeSetup.value), 1e-9);
}

// Each of 2 x 4096 tokens goes to all ranks, whatever its choices are, and a sum comes back.
TEST(LayerCost, AGatheredTokenCrossesOnceForEachRank) {
  spec::RunSpec spec = exchange_spec();
  const double sent_s = layer_of(spec).forward.expert;
  spec.layout.expert_dispatcher = spec::ExpertDispatcher::all_gather;
  const GroupShape node{.size = 8, .per_node = 8, .num_nodes = 1};
  const double once_s = CommCost(spec.cluster).all_gather_s(node, 8 * 2 * 4096 * 8192.0);
  const double gathered_s = layer_of(spec).forward.expert;
  EXPECT_NEAR(gathered_s, 2 * (once_s + kExchangeSetup.value), 1e-9);
  EXPECT_GT(gathered_s, sent_s) << "two choices, eight ranks";
  spec.model.router_top_k = 8;
  EXPECT_NEAR(layer_of(spec).forward.expert, gathered_s, 1e-9);
  spec.layout.expert_dispatcher = spec::ExpertDispatcher::all_to_all;
  EXPECT_GT(layer_of(spec).forward.expert, 3 * sent_s);
}

TEST(LayerCost, ExchangesBesideOtherWorkShowInPart) {
  spec::RunSpec spec = exchange_spec();
  const PassCost apart = layer_of(spec);
  spec.software.expert_overlap = true;
  const PassCost beside = layer_of(spec);
  EXPECT_NEAR(beside.forward.expert, kExpertShown.value * apart.forward.expert, 1e-12);
  EXPECT_NEAR(beside.backward.expert, kExpertShown.value * apart.backward.expert, 1e-12);
  // Links a thousand times slower: all work of the layer hides its share, no more.
  spec.cluster.intra_node.bytes_per_s /= 1000;
  spec.software.expert_overlap = false;
  const double slow_s = layer_of(spec).forward.expert + layer_of(spec).backward.expert;
  spec.software.expert_overlap = true;
  const PassCost slow = layer_of(spec);
  const double work_s = slow.forward.compute() + slow.backward.compute();
  const double hidden_s = (1 - kExpertShown.value) * work_s;
  EXPECT_NEAR(slow.forward.expert + slow.backward.expert, slow_s - hidden_s, 1e-9 * slow_s);
}

// Where micro-batches run in pairs, and on devices that compute while rows travel.
TEST(LayerCost, TeraGptHidesExchangesInPairs) {
  spec::RunSpec spec = exchange_spec();
  spec.software.framework = spec::Framework::teragpt;
  ASSERT_GT(spec.num_micro_batches(), 1);
  const double apart_s = layer_of(spec).forward.expert;
  spec.software.expert_overlap = true;
  const double beside_s = layer_of(spec).forward.expert;
  EXPECT_NEAR(beside_s, kExpertShown.value * apart_s, 1e-12);
  spec.layout.schedule = spec::ScheduleKind::gpipe;
  EXPECT_EQ(layer_of(spec).forward.expert, apart_s);
  spec.layout.schedule = spec::ScheduleKind::one_f_one_b;
  spec.cluster.device.is_cpu = true;
  const double on_processors_s = layer_of(spec).forward.expert;
  spec.software.expert_overlap = false;
  EXPECT_EQ(layer_of(spec).forward.expert, on_processors_s);
}

TEST(LayerCost, ExpertsWaitForTheHostWhateverAttentionTakes) {
  spec::RunSpec spec = exchange_spec();
  spec.layout.micro_batch_size = 1;
  spec.model.moe_ffn_hidden_size = 16;  // experts that take next to no time
  spec.model.hidden_size = 256;
  spec.training.seq_length = 16384;  // attention that takes long
  spec.software.cuda_graphs = spec::GraphScope::full;
  const PassCost recorded = layer_of(spec);
  spec.software.cuda_graphs = spec::GraphScope::layers;
  const PassCost waiting = layer_of(spec);
  // Forward operations of the dispatch and 4 of the one expert here, of some starts of 4 us each,
  // less what the device takes for rows (eight accesses of 512 B, three of 32 B) and
  // messages.
  const double memory = 3.35e12 * spec.cluster.device.memory_efficiency;
  const double rows_s = 2 * 16384 * (8 * 512.0 + 3 * 32.0) / memory;
  const double started_s =
      (kDispatchOps.value + 4) * kHostOps.value * spec.cluster.device.op_overhead_s;
  const double device_s = rows_s + recorded.forward.experts + recorded.forward.expert;
  ASSERT_LT(device_s, started_s);
  EXPECT_NEAR(waiting.forward.overhead - recorded.forward.overhead, started_s - device_s, 1e-9);
}

TEST(LayerCost, ExpertsFilledUpToACapacityLetTheHostRunAhead) {
  spec::RunSpec spec = exchange_spec();
  spec.layout.micro_batch_size = 1;
  spec.model.moe_ffn_hidden_size = 16;
  spec.model.hidden_size = 256;
  spec.training.seq_length = 16384;
  spec.software.cuda_graphs = spec::GraphScope::layers;
  spec.model.expert_capacity_factor = 1;
  const double dropped_s = layer_of(spec).total();
  spec.model.capacity_pad = true;
  const double ahead_s = layer_of(spec).total();
  EXPECT_LT(ahead_s, dropped_s);
  spec.software.cuda_graphs = spec::GraphScope::full;  // attention takes longer than the host
  EXPECT_DOUBLE_EQ(ahead_s, layer_of(spec).total());
}

TEST(LayerCost, PaddingIsComputedAndSent) {
  spec::RunSpec spec = exchange_spec();
  spec.model.expert_capacity_factor = 1.5;
  const Seconds packed = layer_of(spec).forward;
  spec.model.capacity_pad = true;
  const Seconds padded = layer_of(spec).forward;
  EXPECT_GT(padded.expert, packed.expert);
  EXPECT_GT(padded.experts, 1.2 * packed.experts);  // 1.5 times the rows, of better products
  EXPECT_EQ(padded.dense, packed.dense);
}

TEST(LayerCost, TheHostStartsMoreWhereExchangesOverlap) {
  spec::RunSpec spec = exchange_spec();
  spec.layout.micro_batch_size = 1;
  spec.training.seq_length = 64;  // all wait for the host
  spec.software.cuda_graphs = spec::GraphScope::none;
  spec.software.expert_overlap = false;
  const double apart_s = layer_of(spec).total();
  spec.software.expert_overlap = true;
  EXPECT_NEAR(layer_of(spec).total() / apart_s, kOverlapHost.value, 1e-9);
}

// DeepSeek-V3 on one GPU: 128 heads of 128 + 64 and 128 dims from latents of 1,536 and 512.
TEST(LayerCost, SelectiveRepeatsNormsActivationsAndTheLatentUpProjection) {
  spec::RunSpec spec = megatron_spec();
  spec.model = run_spec("deepseek-v3").model;
  const double tokens = 2.0 * spec.training.seq_length;
  const auto repeated_s = [&] {
    spec.layout.recompute = spec::RecomputeKind::selective;
    const PassCost cost = layer_of(spec);
    EXPECT_EQ(cost.forward.recompute, 0);
    return cost.backward.recompute;
  };
  const double megatron_s = repeated_s();
  spec.software.framework = spec::Framework::teragpt;  // keeps queries, keys and values
  const double memory = 3.35e12 * spec.cluster.device.memory_efficiency;
  const double norms = 2 * (2 * 7168.0 + 1536 + 512);
  const double activations = 3 * 9 * 2048.0;  // of eight experts and the shared one
  EXPECT_NEAR(repeated_s(), tokens * 2 * (norms + activations) / memory, 1e-9);
  const double products = 2 * tokens * 128 * (192 * 1536.0 + 256 * 512.0);
  const double rate = 989e12 * spec.cluster.device.matmul_efficiency;
  EXPECT_GT(megatron_s - repeated_s(), products / rate);
  EXPECT_LT(megatron_s - repeated_s(), 2 * products / rate);
}

TEST(LayerCost, SelectiveRepeatsAttentionWhoseScoresAreStored) {
  spec::RunSpec spec = megatron_spec();
  spec.software.fused_attention = false;
  spec.layout.recompute = spec::RecomputeKind::selective;
  const PassCost cost = layer_of(spec);
  EXPECT_EQ(cost.backward.recompute, cost.forward.attention);
}

TEST(LayerCost, FusedExpertsPassOverMemoryLess) {
  spec::RunSpec spec = exchange_spec();
  const double apart = layer_of(spec).forward.streaming;
  spec.software.fused_experts = true;
  const double memory = 3.35e12 * spec.cluster.device.memory_efficiency;
  // Gate and up are read, their product written: 3 x 14336 of 2 B for 2 x 8192 rows.
  EXPECT_NEAR(apart - layer_of(spec).forward.streaming, 2 * 8192 * 3 * 14336 * 2.0 / memory, 1e-9);
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

// Two all-reduces each way, of 4 B for each of 2 x 4096 tokens, in rings of eight, shown in full.
TEST(LayerCost, ANormOverAllHeadsIsOverTensorRanks) {
  spec::RunSpec spec = megatron_spec();
  spec.layout.tensor_parallel_size = 8;
  spec.layout.sequence_parallel = true;
  spec.cluster.num_nodes = 1;
  spec.software.tensor_overlap = true;
  spec.model.qk_norm = spec::QkNormKind::per_head;
  const PassCost per_head = layer_of(spec);
  spec.model.qk_norm = spec::QkNormKind::full;
  const PassCost full = layer_of(spec);
  const spec::LinkSpec& link = spec.cluster.intra_node;
  const double rate = link.bytes_per_s * link.efficiency;
  const double bytes = 4.0 * 2 * spec.training.seq_length;
  const double gather_s = bytes * 7 / 8 / rate + 7 * (link.latency_s + bytes / 16 / rate);
  EXPECT_NEAR(full.forward.tensor - per_head.forward.tensor, 2 * 2 * gather_s, 1e-12);
  EXPECT_NEAR(full.backward.tensor - per_head.backward.tensor, 2 * 2 * gather_s, 1e-12);
}

TEST(LayerCost, OperationsOneByOneReadMemoryAgain) {
  spec::RunSpec spec = megatron_spec();
  spec.software.framework = spec::Framework::torchtitan;
  const double fused = layer_of(spec, true).forward.streaming;
  spec.software.compiled = false;
  EXPECT_NEAR(layer_of(spec, true).forward.streaming / fused, kEagerTraffic.value, 1e-9);
}

TEST(TimeConstants, EachHasANameAndASource) {
  std::set<std::string> names;
  for (const Constant* constant : kTimeConstants) {
    EXPECT_TRUE(names.insert(std::string(constant->name)).second) << constant->name;
    EXPECT_GT(constant->source.size(), 20U) << constant->name;
    EXPECT_GT(constant->value, 0) << constant->name;
  }
}

}  // namespace
}  // namespace tera::plan
