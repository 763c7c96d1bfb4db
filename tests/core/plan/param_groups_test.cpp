#include "core/plan/param_groups.h"

#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

TEST(LocalParams, StagesTogetherHoldTheWholeModel) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");  // 4 stages, experts over 8 ranks
  const auto mesh = RankMesh::make(spec.layout);
  const auto elements = [&] {
    double sum = 0;
    for (int stage = 0; stage < 4; ++stage) {
      const LocalParams params =
          local_params(stage_groups(model_groups(spec, *mesh), stage_parts(spec, stage)),
                       spec.layout.zero_stage);
      sum += params.dense + params.experts * 8;
    }
    return sum;
  };
  EXPECT_DOUBLE_EQ(elements(), static_cast<double>(count_params(spec.model).total));
  spec.model.num_mtp_layers = 1;  // the last stage needs the embedding too
  EXPECT_DOUBLE_EQ(elements(),
                   static_cast<double>(count_params(spec.model).total) +
                       static_cast<double>(spec.model.vocab_size) * spec.model.hidden_size);
}

TEST(StageParts, AreTheSameForAlikeStages) {
  spec::RunSpec spec = run_spec("moe-1t");  // 63 layers on 32 stages: the last holds one
  EXPECT_TRUE(stage_parts(spec, 0).has_embedding);
  EXPECT_FALSE(stage_parts(spec, 1).has_embedding);
  for (int stage = 2; stage < 31; ++stage)
    EXPECT_EQ(stage_parts(spec, stage), stage_parts(spec, 1)) << stage;
  EXPECT_NE(stage_parts(spec, 31), stage_parts(spec, 1));
  EXPECT_TRUE(stage_parts(spec, 31).has_head);
  spec.layout.schedule = spec::ScheduleKind::zb_v;  // both ends on the first stage
  spec.layout.pipeline_parallel_size = 16;
  spec.layout.virtual_stages = 2;
  EXPECT_TRUE(stage_parts(spec, 0).has_embedding && stage_parts(spec, 0).has_head);
  EXPECT_FALSE(stage_parts(spec, 15).has_head);
  spec.model.tie_embeddings = true;
  EXPECT_FALSE(stage_parts(spec, 0).copies_embedding);
  spec.layout.schedule = spec::ScheduleKind::one_f_one_b;
  spec.layout.virtual_stages = 1;
  EXPECT_TRUE(stage_parts(spec, 15).copies_embedding);
}

TEST(StageGroups, AStageIsTheSumOfItsParts) {
  const spec::RunSpec spec = run_spec("mixtral-8x7b");
  const ModelGroups model = model_groups(spec, *RankMesh::make(spec.layout));
  const ParamGroups stage =
      stage_groups(model, {.layers = {.dense = 0, .moe = 3}, .has_embedding = true});
  for (std::size_t i = 0; i < stage.size(); ++i) {
    const ParamGroup& layer = model.moe_layer[i];
    const ParamGroup& embedding = model.embedding[i];
    EXPECT_EQ(stage[i].all, 3 * layer.all + embedding.all) << kParamGroups[i];
    for (std::size_t item = 0; item < kNumStateItems; ++item)
      EXPECT_EQ(stage[i].state[item], 3 * layer.state[item] + embedding.state[item]);
    EXPECT_EQ(stage[i].update_workspace,
              std::max(layer.update_workspace, embedding.update_workspace));
  }
  EXPECT_GT(stage[kExpertGroup].all, 0);
  EXPECT_EQ(stage[kExpertGroup].shards, model.moe_layer[kExpertGroup].shards);
}

}  // namespace
}  // namespace tera::plan
