#include "core/plan/placement.h"

#include <map>

#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

TEST(StageLayers, CoverAllLayersInOrderAndDifferByOne) {
  for (const int layers : {1, 4, 61, 63, 100}) {
    for (const int stages : {1, 2, 3, 16, 61}) {
      if (stages > layers) continue;
      int next = 0;
      for (int stage = 0; stage < stages; ++stage) {
        const LayerRange range = part_layers(layers, stages, stage);
        EXPECT_EQ(range.first, next);
        EXPECT_TRUE(range.size() == layers / stages || range.size() == layers / stages + 1);
        next = range.last;
      }
      EXPECT_EQ(next, layers);
    }
  }
}

TEST(StageLayers, EndsThatCountAsLayersTakeTheRoomOfOne) {
  spec::RunSpec spec = run_spec("olmoe-1b-7b");
  spec.layout.pipeline_parallel_size = 3;
  spec.layout.ends_count_as_layers = true;
  spec.model.num_layers = 16;  // and two ends: six parts each
  const auto layers = [&spec](int stage) { return num_stage_layers(stage_chunks(spec, stage)); };
  EXPECT_EQ(layers(0), 5);
  EXPECT_EQ(layers(1), 6);
  EXPECT_EQ(layers(2), 5);
  // As many chunks as parts: the first and the last hold an end and no layer.
  spec.layout.schedule = spec::ScheduleKind::interleaved;
  spec.layout.virtual_stages = 6;
  const std::vector<StageChunk> first = stage_chunks(spec, 0);
  EXPECT_EQ(first.front().layers.size(), 0);
  EXPECT_TRUE(first.front().has_embedding);
  EXPECT_EQ(stage_chunks(spec, 2).back().layers.size(), 0);
  EXPECT_TRUE(stage_chunks(spec, 2).back().has_head);
  EXPECT_EQ(layers(0) + layers(1) + layers(2), 16);
}

// Megatron-Bridge, deepseek_v3.py: embedding and 4 layers, 14 times 4, and 1 with prediction and
// loss.
TEST(StageLayers, PredictionAndItsHeadCountWithTheEnd) {
  spec::RunSpec spec = run_spec("deepseek-v3");
  spec.layout.ends_count_as_layers = true;
  ASSERT_EQ(spec.layout.pipeline_parallel_size, 16);
  ASSERT_EQ(spec.model.num_mtp_layers, 1);
  for (int stage = 0; stage < 16; ++stage)
    EXPECT_EQ(num_stage_layers(stage_chunks(spec, stage)), stage < 15 ? 4 : 1) << stage;
}

TEST(LayerMix, CountsLeadingDenseLayers) {
  const spec::ModelConfig model = model_config("deepseek-v3");  // 3 dense of 61
  EXPECT_EQ(layer_mix(model, {0, 4}).dense, 3);
  EXPECT_EQ(layer_mix(model, {0, 4}).moe, 1);
  EXPECT_EQ(layer_mix(model, {2, 3}).dense, 1);
  EXPECT_EQ(layer_mix(model, {4, 8}).dense, 0);
  EXPECT_EQ(layer_mix(model_config("gpt2-124m"), {0, 12}).dense, 12);
}

TEST(LayerMix, CountsEveryNthLayerAndFindsOneOfEachKind) {
  spec::ModelConfig model = model_config("deepseek-v3");
  model.moe_layer_interval = 4;  // 3 dense, then 6, 10, 14, ... have experts
  EXPECT_EQ(layer_mix(model, {0, 7}).moe, 1);
  EXPECT_EQ(layer_mix(model, {7, 10}).moe, 0);
  EXPECT_EQ(layer_mix(model, {6, 11}).moe, 2);
  EXPECT_EQ(layer_mix(model, {6, 11}).dense, 3);
  for (const int interval : {1, 4}) {
    model.moe_layer_interval = interval;
    EXPECT_TRUE(model.is_moe_layer(layer_of_kind(model, true)));
    EXPECT_FALSE(model.is_moe_layer(layer_of_kind(model, false)));
  }
}

TEST(LocalElements, ShardsOfAllRanksCoverTheTensor) {
  spec::RunSpec spec = run_spec("moe-1t");
  const spec::ParallelLayout& l = spec.layout;
  for (const ParamSpec& param : make_part_table(spec.model, ModelPart::layer, 0)) {
    const double ranks = param.splits.empty() ? 1
                         : param.is_expert()
                             ? l.expert_parallel_size * l.expert_tensor_parallel_size
                             : l.tensor_parallel_size;
    EXPECT_DOUBLE_EQ(local_elements(param, spec) * ranks, static_cast<double>(param.num_elements()))
        << param.name;
  }
}

TEST(LocalElements, FewKeyValueHeadsAreReplicated) {
  spec::RunSpec spec = run_spec("qwen3-235b-a22b");  // 64 heads, 4 key and value heads
  spec.layout.tensor_parallel_size = 8;
  for (const ParamSpec& param : make_part_table(spec.model, ModelPart::layer, 0)) {
    if (param.name != "layers.0.attention.qkv.weight") continue;
    EXPECT_DOUBLE_EQ(local_elements(param, spec), (8 + 2 * 1) * 128.0 * 4096);
  }
}

TEST(GroupShape, GroupsLieOverNodes) {
  spec::RunSpec spec = run_spec("moe-1t");  // 8 devices per node
  const GroupShape inside = group_shape({0, 1, 8}, spec);
  EXPECT_EQ(inside.per_node, 8);
  EXPECT_EQ(inside.num_nodes, 1);
  const GroupShape spread = group_shape({0, 4, 128}, spec);
  EXPECT_EQ(spread.per_node, 2);
  EXPECT_EQ(spread.num_nodes, 64);
  const GroupShape apart = group_shape({0, 512, 32}, spec);
  EXPECT_EQ(apart.per_node, 1);
  EXPECT_EQ(apart.num_nodes, 32);
}

// Counted one by one: members in the node of the first, and nodes from the first to the last.
TEST(GroupShape, IsWhatCountingMembersGives) {
  spec::RunSpec spec = run_spec("moe-1t");
  spec.cluster.devices_per_node = 8;
  spec.cluster.nodes_per_switch = 4;
  const std::vector<RankGroup> groups = {
      {0, 1, 16},      {0, 4, 8},         {0, 16, 4},       {0, 2, 8, 2, 32},      {0, 1, 8, 4, 32},
      {0, 1, 4, 2, 4}, {0, 2, 16, 8, 64}, {0, 1, 4, 1, 16}, {0, 1, 3, 4, 16, 2, 4}};
  for (const RankGroup& group : groups) {
    std::map<int, int> members;  // of a node
    for (int i = 0; i < group.size; ++i)
      ++members[group[i] / 8];
    const GroupShape shape = group_shape(group, spec);
    EXPECT_EQ(shape.size, group.size);
    EXPECT_EQ(shape.per_node, members.begin()->second) << group_text(shape);
    EXPECT_EQ(shape.num_nodes, std::ssize(members)) << group_text(shape);
    EXPECT_EQ(shape.crosses_switch, members.rbegin()->first >= 4) << group_text(shape);
  }
  spec.cluster.nodes_per_switch = 0;
  EXPECT_FALSE(group_shape({0, 512, 32}, spec).crosses_switch);
}

// Two nodes: tensor 2 x pipeline 4 fill one.
TEST(PlacesAlike, OrdersDifferWhereTheyPutOtherGroupsIntoANode) {
  spec::RunSpec spec = run_spec("moe-1t");
  const auto alike = [&spec](const spec::ParallelLayout& layout) {
    spec.layout = layout;
    return places_alike(spec, spec::RankOrder::tp_cp_ep_dp_pp, spec::RankOrder::tp_cp_ep_pp_dp);
  };
  spec::ParallelLayout layout{.tensor_parallel_size = 2,
                              .data_parallel_size = 4,
                              .pipeline_parallel_size = 4,
                              .offload = {}};
  EXPECT_FALSE(alike(layout));
  layout.expert_parallel_size = 8;  // fills a node, whatever comes next
  EXPECT_TRUE(alike(layout));
  layout.expert_parallel_size = 1;
  layout.tensor_parallel_size = 8;
  EXPECT_TRUE(alike(layout));
  spec.cluster.nodes_per_switch = 4;  // stages are 4 nodes apart, or replicas
  EXPECT_FALSE(alike(layout));
  layout.data_parallel_size = 1;
  EXPECT_TRUE(alike(layout));
}

TEST(RanksPerDevice, ProcessorsAreSharedAndAcceleratorsAreNot) {
  spec::RunSpec spec = run_spec("tiny-moe");
  EXPECT_EQ(ranks_per_device(spec), 1);
  spec.layout.data_parallel_size = 4;
  EXPECT_EQ(ranks_per_device(spec), 4);
  EXPECT_EQ(ranks_per_device(run_spec("moe-1t")), 1);
}

}  // namespace
}  // namespace tera::plan
