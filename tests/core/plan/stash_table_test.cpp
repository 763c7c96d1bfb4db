#include "core/plan/stash_table.h"

#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

std::map<std::string, StashEntry> by_name(const std::vector<StashEntry>& entries) {
  std::map<std::string, StashEntry> map;
  for (const StashEntry& entry : entries)
    EXPECT_TRUE(map.emplace(entry.name, entry).second) << entry.name;
  return map;
}

std::int64_t total_bytes(const std::vector<StashEntry>& entries) {
  std::int64_t bytes = 0;
  for (const StashEntry& entry : entries)
    bytes += entry.num_bytes();
  return bytes;
}

TEST(StashTable, TinyMoeLayerByHand) {
  const spec::RunSpec spec = run_spec("tiny-moe");  // f32, T = 8 x 256
  const auto layer = by_name(make_stash_table(spec, 2, 3, false));
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(layer.at("layers.2.attention.x").shape, (Shape{2048, 256}));
  EXPECT_EQ(layer.at("layers.2.attention.k").shape, (Shape{2048, 2, 64}));
  EXPECT_EQ(layer.at("layers.2.moe.inner").shape, (Shape{4096, 768}));
  EXPECT_EQ(layer.at("layers.2.moe.offsets").dtype, DType::i64);
  EXPECT_EQ(layer.at("layers.2.moe.indices").dtype, DType::i32);
  EXPECT_EQ(layer.count("layers.2.attention.norm_mean"), 0U);
  // Bytes per token: 4 B x (x, norm_out, ffn.x, ffn.norm_out: 4 H; q, out: 2 A D; k, v: 2 Akv D;
  // norms 2; lse A; scores E; logsumexp; 3 K; rows K x (H + 3 F)), E + 1 offsets and E weights of
  // the balance loss.
  const std::int64_t floats =
      4 * 256 + 2 * 256 + 2 * 128 + 2 + 4 + 8 + 1 + 3 * 2 + 2 * (256 + 3 * 384);
  EXPECT_EQ(total_bytes(make_stash_table(spec, 2, 3, false)), 2048 * 4 * floats + 9 * 8 + 8 * 4);
}

TEST(StashTable, HeadKeepsInputStatisticsAndGradient) {
  spec::RunSpec spec = run_spec("tiny-moe");
  const auto head = by_name(make_stash_table(spec, 0, 0, true));
  EXPECT_EQ(head.size(), 3U);
  EXPECT_EQ(head.at("head.dx").num_bytes(), 2048 * 256 * 4);
  spec.model.norm = spec::NormKind::layer;
  EXPECT_EQ(by_name(make_stash_table(spec, 0, 0, true)).count("head.norm_mean"), 1U);
}

TEST(StashTable, PredictionLayersFollowTheHead) {
  spec::RunSpec spec = run_spec("tiny-moe");  // 4 layers
  spec.model.num_mtp_layers = 2;
  const auto head = by_name(make_stash_table(spec, 0, 0, true));
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(head.at("head.norm_out").shape, (Shape{2048, 256}));
  EXPECT_EQ(head.at("layers.4.mtp.concat").shape, (Shape{2048, 512}));
  EXPECT_EQ(head.count("layers.4.mtp.head.norm_out"), 1U);
  EXPECT_EQ(head.count("layers.5.mtp.head.norm_out"), 0U);  // nobody reads on
  // Of each: what a layer keeps, embedding, two norms' statistics, concat and a head.
  const std::int64_t layer = total_bytes(make_stash_table(spec, 3, 4, false));
  spec.model.num_mtp_layers = 0;
  const std::int64_t alone = total_bytes(make_stash_table(spec, 0, 0, true));
  spec.model.num_mtp_layers = 2;
  const std::int64_t row = 2048 * 256 * 4;
  EXPECT_EQ(total_bytes(make_stash_table(spec, 0, 0, true)),
            3 * alone + 2 * row + 2 * (layer + 3 * row + 2 * 2048 * 4));
}

TEST(StashTable, Bf16HalvesActivationsButNotStatistics) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.training.precision = spec::Precision::bf16;
  const auto layer = by_name(make_stash_table(spec, 0, 1, false));
  EXPECT_EQ(layer.at("layers.0.attention.q").dtype, DType::bf16);
  EXPECT_EQ(layer.at("layers.0.attention.lse").dtype, DType::f32);
  EXPECT_EQ(layer.at("layers.0.moe.gates").dtype, DType::f32);
}

TEST(StashTable, OptionalRowsFollowTheModel) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.model.qk_norm = spec::QkNormKind::per_head;
  EXPECT_EQ(by_name(make_stash_table(spec, 0, 1, false)).at("layers.0.attention.k_rstd").shape,
            (std::vector<std::int64_t>{2048, 2}));
  spec.model.qk_norm = spec::QkNormKind::full;
  EXPECT_EQ(by_name(make_stash_table(spec, 0, 1, false)).at("layers.0.attention.k_rstd").shape,
            (std::vector<std::int64_t>{2048}));
  spec.model.router_score = spec::RouterScore::sigmoid;
  spec.model.z_loss_coeff = 0;
  EXPECT_EQ(by_name(make_stash_table(spec, 0, 1, false)).count("layers.0.moe.logsumexp"), 0U);
  spec.model.num_shared_experts = 2;
  spec.model.shared_expert_gate = true;
  EXPECT_EQ(by_name(make_stash_table(spec, 0, 1, false)).at("layers.0.moe.shared.gate").shape,
            (std::vector<std::int64_t>{2048, 1}));
  EXPECT_EQ(by_name(make_stash_table(spec, 0, 1, false)).at("layers.0.moe.shared.inner").shape,
            (std::vector<std::int64_t>{2048, 2 * 2 * 384}));
  spec.model.activation = spec::ActivationKind::relu;
  EXPECT_EQ(by_name(make_stash_table(spec, 0, 1, false)).at("layers.0.moe.inner").shape,
            (std::vector<std::int64_t>{4096, 384}));
}

TEST(StashTable, NormsAndBranchesFollowTheirPlaces) {
  spec::RunSpec spec = run_spec("tiny-moe");
  const auto has = [&spec](const char* entry) {
    return by_name(make_stash_table(spec, 0, 1, false)).count(std::string("layers.0.") + entry) > 0;
  };
  EXPECT_FALSE(has("attention.branch_out"));
  EXPECT_TRUE(has("ffn.x"));
  spec.model.parallel_residual = true;  // reads attention.x
  EXPECT_FALSE(has("ffn.x"));
  EXPECT_TRUE(has("ffn.norm_out"));
  spec.model.norm_placement = spec::NormPlacement::sandwich;
  spec.model.norm = spec::NormKind::layer;
  for (const char* part : {"attention", "ffn"}) {
    for (const char* entry : {"norm_out", "norm_rstd", "branch_out", "post_norm_mean"})
      EXPECT_TRUE(has(fmt::format("{}.{}", part, entry).c_str())) << part << entry;
  }
  spec.model.norm_placement = spec::NormPlacement::post;
  for (const char* part : {"attention", "ffn"}) {
    EXPECT_TRUE(has(fmt::format("{}.post_norm_rstd", part).c_str()));
    EXPECT_FALSE(has(fmt::format("{}.norm_rstd", part).c_str()));
    EXPECT_FALSE(has(fmt::format("{}.norm_out", part).c_str()));
  }
}

TEST(StashTable, RowsOfRoutersFollowTheModel) {
  spec::RunSpec spec = run_spec("tiny-moe");  // T = 8 x 256, 8 experts, top 2
  const auto shape = [&spec](const char* name) {
    const auto entries = by_name(make_stash_table(spec, 0, 1, false));
    const auto found = entries.find(std::string("layers.0.moe.") + name);
    return found == entries.end() ? std::vector<std::int64_t>{} : found->second.shape;
  };
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(shape("balance"), (Shape{1, 8}));
  spec.model.aux_loss_scope = spec::AuxLossScope::global_batch;
  EXPECT_EQ(shape("balance"), (Shape{8, 8}));
  EXPECT_EQ(shape("noise"), Shape{});
  spec.model.router_jitter = 0.01;
  EXPECT_EQ(shape("noise"), (Shape{2048, 256}));
  EXPECT_EQ(shape("logits"), Shape{});
  spec.model.router_score = spec::RouterScore::sigmoid;
  EXPECT_EQ(shape("logits"), (Shape{2048, 8}));
  EXPECT_EQ(shape("permuted"), (Shape{4096, 256}));
  spec.model.expert_capacity_factor = 0.5;
  EXPECT_EQ(shape("permuted"), (Shape{2048, 256}));
  spec.model.expert_capacity_factor = 1.25;
  EXPECT_EQ(shape("permuted"), (Shape{4096, 256}));
  spec.model.capacity_pad = true;
  EXPECT_EQ(shape("permuted"), (Shape{5120, 256}));
  spec.model.capacity_pad = false;
  spec.model.expert_capacity_factor = 0.5;
  spec.model.router_choice = spec::RouterChoice::expert;
  EXPECT_EQ(shape("indices"), (Shape{2048, 8}));
  EXPECT_EQ(shape("rows"), (Shape{2048, 8}));
  EXPECT_EQ(shape("inner"), (Shape{2048, 768}));
}

// Full recompute keeps the layer's input, and what the router chose: 8 of 256 experts per token.
TEST(StashTable, RecomputeKeepsLess) {
  spec::RunSpec spec = run_spec("deepseek-v3");
  spec.layout.recompute = spec::RecomputeKind::none;
  const std::int64_t none = total_bytes(make_stash_table(spec, 3, 4, false));
  spec.layout.recompute = spec::RecomputeKind::selective;
  const std::int64_t selective = total_bytes(make_stash_table(spec, 3, 4, false));
  spec.layout.recompute = spec::RecomputeKind::full;
  EXPECT_LT(selective, none);
  const std::int64_t tokens = std::int64_t{spec.layout.micro_batch_size} * 4096;
  EXPECT_EQ(total_bytes(make_stash_table(spec, 3, 4, false)),
            tokens * (7168 * 2 + 256 * 4 + 8 * 8) + spec.layout.micro_batch_size * 256 * 4);
  EXPECT_EQ(total_bytes(make_stash_table(spec, 2, 3, false)), tokens * 7168 * 2);  // dense
}

}  // namespace
}  // namespace tera::plan
