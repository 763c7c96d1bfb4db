#include "core/plan/rank_extents.h"

#include <gtest/gtest.h>

#include "core/plan/stash_table.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using Shape = std::vector<std::int64_t>;

Shape shape_of(const spec::RunSpec& spec, const std::string& name) {
  for (const StashEntry& entry : make_stash_table(spec, 0, 1, true)) {
    if (entry.name == name) return entry.shape;
  }
  return {};
}

// 8 x 256 tokens, 4 heads, 2 of keys and values, 8 experts of 384 columns, 2 for each token.
TEST(RankExtents, OfOneRankAreTheModels) {
  const RankExtents one = rank_extents(run_spec("tiny-moe"));
  EXPECT_EQ(one.tokens, 2048);
  EXPECT_EQ(one.own_tokens, 2048);
  EXPECT_EQ(one.heads, run_spec("tiny-moe").model.num_attention_heads);
  EXPECT_EQ(one.kv_heads, 2);
  EXPECT_EQ(one.expert_width, 384);
  EXPECT_EQ(one.expert_rows, 4096);
  EXPECT_EQ(one.expert_ranks, 1);
}

TEST(RankExtents, TensorRanksShareHeadsAndTheirPartOfTheTokens) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.tensor_parallel_size = 4;
  spec.layout.sequence_parallel = true;
  const RankExtents rank = rank_extents(spec);
  EXPECT_EQ(rank.tokens, 2048);
  EXPECT_EQ(rank.own_tokens, 512);
  EXPECT_EQ(rank.kv_heads, 1) << "of two, each on two ranks";
  EXPECT_EQ(shape_of(spec, "layers.0.attention.x"), (Shape{512, 256}));
  EXPECT_EQ(shape_of(spec, "layers.0.attention.k").front(), 2048);
  EXPECT_EQ(shape_of(spec, "layers.0.moe.scores"), (Shape{512, 8}));
  EXPECT_EQ(shape_of(spec, "layers.0.moe.offsets"), (Shape{9})) << "of every expert";
  EXPECT_EQ(shape_of(spec, "head.x"), (Shape{512, 256}));
  // Each sends the rows of its own tokens.
  EXPECT_EQ(rank.expert_rows, 1024);
  spec.layout.sequence_parallel = false;
  EXPECT_EQ(rank_extents(spec).own_tokens, 2048);
}

TEST(RankExtents, BuffersOfExpertsFollowTheLoad) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.data_parallel_size = spec.layout.expert_parallel_size = 4;
  spec.layout.expert_load_percentile = 0;
  EXPECT_EQ(rank_extents(spec).expert_rows, 4096) << "as many as a rank sends";
  spec.layout.expert_load_percentile = 99;
  const std::int64_t busy = rank_extents(spec).expert_rows;
  EXPECT_GT(busy, 4096);
  EXPECT_LE(busy, 4 * 4096) << "more cannot come";
  EXPECT_EQ(shape_of(spec, "layers.0.moe.act"), (Shape{busy, 384}));
  EXPECT_EQ(shape_of(spec, "layers.0.moe.counts"), (Shape{4, 8}));
  // Ranks that split an expert have the rows of each other, and a part of its columns.
  spec.layout.expert_parallel_size = 1;
  spec.layout.expert_tensor_parallel_size = 4;
  EXPECT_EQ(shape_of(spec, "layers.0.moe.act"), (Shape{4 * 4096, 96}));
  spec.software.framework = spec::Framework::megatron_lm;
  spec.layout.expert_parallel_size = 4;
  spec.layout.expert_tensor_parallel_size = 1;
  EXPECT_EQ(rank_extents(spec).expert_rows, 4096) << "no buffers: rows as they come";
}

}  // namespace
}  // namespace tera::plan
