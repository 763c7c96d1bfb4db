#include "core/plan/published_recipes.h"

#include <gtest/gtest.h>

#include "core/plan/published_words.h"
#include "tests/core/plan/published_rows.h"

namespace tera::plan {
namespace {

spec::SoftwareConfig recipe_of(const char* release, const char* model, const char* gpu) {
  const std::string source =
      std::string("NVIDIA-NeMo/Megatron-Bridge docs/performance-summary.md (") + release +
      " NeMo Container)";
  spec::SoftwareConfig software;
  PublishedRow row = row_with({{"group", "MBRIDGE"}, {"source", source}, {"gpu", gpu}});
  row.model = model;
  row.experts = 128;
  set_published_recipe(row, software);
  return software;
}

TEST(PublishedRecipes, ChangeWithTheRelease) {
  using enum spec::GraphScope;
  const auto graphs = [](const char* release) {
    return recipe_of(release, "Qwen3_30B_a3B", "GB200 (NVL72)").cuda_graphs;
  };
  EXPECT_EQ(graphs("25.09"), full);  // tokens that do not fit are dropped
  EXPECT_EQ(graphs("25.11"), routing);
  EXPECT_EQ(graphs("26.04.01"), routing);
  EXPECT_EQ(graphs("26.06"), full);
  EXPECT_EQ(graphs("26.08"), full);
  EXPECT_FALSE(recipe_of("26.04.01", "Qwen3_30B_a3B", "GB200 (NVL72)").fused_experts);
  EXPECT_TRUE(recipe_of("26.06.01", "Qwen3_30B_a3B", "GB200 (NVL72)").fused_experts);
}

TEST(PublishedRecipes, PatchesOfAReleaseCount) {
  EXPECT_FALSE(recipe_of("26.04", "DeepSeekV3", "B200-SXM").expert_overlap);
  EXPECT_TRUE(recipe_of("26.04.01", "DeepSeekV3", "B200-SXM").expert_overlap);
}

TEST(PublishedRecipes, DifferByDevice) {
  EXPECT_FALSE(recipe_of("26.04", "Qwen3_235B_a22B", "H100-SXM").token_deduplication);
  EXPECT_TRUE(recipe_of("26.04", "Qwen3_235B_a22B", "H100-SXM").expert_overlap);
  EXPECT_TRUE(recipe_of("26.04", "Qwen3_235B_a22B", "GB200 (NVL72)").token_deduplication);
  EXPECT_GT(recipe_of("26.06", "DeepSeekV3", "GB300 (NVL72)").attention_share, 1);
  EXPECT_EQ(recipe_of("26.06", "DeepSeekV3", "GB200 (NVL72)").attention_share, 1);
}

TEST(PublishedRecipes, LatentAttentionIsRepeatedWhereTheRecipeNamesIt) {
  using enum spec::RecomputeKind;
  const auto repeated = [](const std::string& release, const char* gpu) {
    PublishedRow row = row_with({{"group", "MBRIDGE"}, {"source", "(" + release + " NeMo)"}});
    row.gpu = gpu;
    row.model = "DeepSeekV3";
    row.head_dim = kLatentDims;
    row.experts = 256;
    return published_recompute(row);
  };
  using Kinds = std::vector<spec::RecomputeKind>;
  EXPECT_EQ(repeated("26.02", "GB200 (NVL72)"), Kinds{selective});
  EXPECT_EQ(repeated("26.04", "GB200 (NVL72)"), Kinds{none});  // mlp alone
  EXPECT_EQ(repeated("26.06", "GB200 (NVL72)"), Kinds{selective});
  EXPECT_EQ(repeated("26.04", "GB300 (NVL72)"), Kinds{selective});
  EXPECT_EQ(repeated("26.06", "GB300 (NVL72)"), Kinds{none});
}

TEST(PublishedRecipes, TokensAreDroppedWhereTheTableOrTheScriptSaysSo) {
  PublishedRow row = row_with({{"group", "MBRIDGE"}});
  row.model = "Qwen3_30B_a3B (tokendrop)";
  EXPECT_TRUE(drops_tokens(row));
  row.model = "Qwen3_30B_a3B";
  EXPECT_FALSE(drops_tokens(row));
  row.head_dim = kLatentDims;
  EXPECT_FALSE(drops_tokens(row));
  row.group = "DGXC";
  EXPECT_TRUE(drops_tokens(row));
}

TEST(PublishedRecipes, OthersStayAsTheyAre) {
  EXPECT_EQ(recipe_of("25.02", "DeepSeekV3", "H100-SXM"), spec::SoftwareConfig{});
  EXPECT_EQ(recipe_of("26.06", "a model of nobody", "H100-SXM"), spec::SoftwareConfig{});
}

TEST(PublishedRecipes, LatentAttentionStoredScoresOnBlackwellBeforeItsKernel) {
  PublishedRow row = row_with({{"group", "DGXC"}, {"gpu", "GB200 (NVL72)"}});
  row.experts = 256;
  row.head_dim = kLatentDims;
  spec::SoftwareConfig software;
  set_published_recipe(row, software);
  EXPECT_FALSE(software.fused_attention);
  row.gpu = "H100-80GB-SXM (DGX/EOS-class)";
  software = {};
  set_published_recipe(row, software);
  EXPECT_TRUE(software.fused_attention);
}

}  // namespace
}  // namespace tera::plan
