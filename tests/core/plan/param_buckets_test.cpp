// Buckets of a stage: every tensor with replicas in one of them, shards of equal size that cover
// it.
#include "core/plan/param_buckets.h"

#include <set>

#include <gtest/gtest.h>

#include "core/plan/adapter_table.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

spec::RunSpec zero_spec(int zero_stage) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.layout.data_parallel_size = 4;
  spec.layout.expert_parallel_size = 2;
  spec.layout.zero_stage = zero_stage;
  return spec;
}

std::vector<ParamBucket> buckets_of(const spec::RunSpec& spec, int rank, LocalTable& table) {
  const RankMesh mesh = *RankMesh::make(spec.layout);
  table = local_table(spec, mesh, rank);
  return sharded_buckets(spec, mesh, rank, table);
}

TEST(ParamBuckets, HoldEachTensorOnceAndAligned) {
  for (const auto precision : {spec::Precision::fp32, spec::Precision::bf16}) {
    spec::RunSpec spec = zero_spec(3);
    spec.training.precision = precision;
    LocalTable table;
    std::set<std::size_t> seen;
    for (const ParamBucket& bucket : buckets_of(spec, 3, table)) {
      EXPECT_EQ(bucket.ranks, bucket.experts ? 2 : 4);
      EXPECT_EQ(bucket.rank, bucket.experts ? 1 : 3);
      EXPECT_EQ(bucket.num_elements % (kBucketBlock * bucket.ranks), 0);
      std::int64_t end = 0;
      for (const ParamBucket::Entry& entry : bucket.entries) {
        const LocalParam& param = table[entry.param];
        EXPECT_TRUE(seen.insert(entry.param).second) << param.spec.name;
        EXPECT_EQ(part_of(param.spec), bucket.part);
        EXPECT_EQ(param.spec.is_expert(), bucket.experts);
        EXPECT_EQ(weight_dtype(param.spec, precision), bucket.dtype);
        EXPECT_EQ(entry.begin % kBucketBlock, 0);
        EXPECT_GE(entry.begin, end);
        EXPECT_LT(entry.begin, end + kBucketBlock);
        EXPECT_EQ(entry.count, param.slice.num_elements());
        end = entry.begin + entry.count;
      }
      EXPECT_LE(end, bucket.num_elements);
      EXPECT_LT(bucket.num_elements, end + kBucketBlock * (bucket.ranks + 1));
    }
    for (std::size_t i = 0; i < table.size(); ++i) {
      EXPECT_EQ(seen.count(i), table[i].spec.kind == ParamKind::router_bias ? 0U : 1U)
          << table[i].spec.name;
    }
  }
}

TEST(ParamBuckets, ShardsOfAllRanksCoverATensor) {
  const spec::RunSpec spec = zero_spec(1);
  LocalTable table;
  const std::vector<ParamBucket> buckets = buckets_of(spec, 0, table);
  for (std::size_t b = 0; b < buckets.size(); ++b) {
    for (const ParamBucket::Entry& entry : buckets[b].entries) {
      ParamBucket bucket = buckets[b];
      std::int64_t next = 0;
      for (bucket.rank = 0; bucket.rank < bucket.ranks; ++bucket.rank) {
        const auto [begin, end] = bucket.owned(entry);
        if (begin == end) continue;
        EXPECT_EQ(begin, next);
        next = end;
      }
      EXPECT_EQ(next, entry.count) << table[entry.param].spec.name;
    }
  }
}

// Buckets are those of one copy, in fewer and larger shards: what all replicas share out is shared
// out within them.
TEST(ParamBuckets, OfSeveralCopiesAreSharedOutInEach) {
  const spec::RunSpec flat = zero_spec(3);
  spec::RunSpec spec = flat;
  spec.layout.zero_replicas = 2;
  const RankMesh mesh = *RankMesh::make(spec.layout);
  for (int rank = 0; rank < 4; ++rank) {
    LocalTable table;
    std::vector<ParamBucket> all = buckets_of(flat, rank, table);
    std::erase_if(all, [](const ParamBucket& bucket) { return bucket.experts; });
    const std::vector<ParamBucket> copy = buckets_of(spec, rank, table);
    const std::vector<ParamBucket> counted = replicated_buckets(spec, mesh, rank, table);
    ASSERT_EQ(copy.size(), all.size()) << "a copy of the experts is one rank";
    std::size_t i = 0;
    for (const ParamBucket& bucket : counted) {
      if (bucket.experts) continue;
      EXPECT_EQ(copy[i].num_elements, all[i].num_elements);
      EXPECT_EQ(copy[i].ranks, 2);
      EXPECT_EQ(copy[i].rank, rank % 2) << "ranks of a copy are neighbours";
      EXPECT_EQ(bucket.ranks, 4);
      EXPECT_GE(bucket.shard_begin(), copy[i].shard_begin());
      EXPECT_LE(bucket.shard_begin() + bucket.shard_elements(),
                copy[i].shard_begin() + copy[i].shard_elements());
      EXPECT_EQ(bucket.shard_begin() == copy[i].shard_begin(), rank < 2);
      ++i;
    }
  }
  spec.layout.zero_stage = 0;  // replicas count the norm as if there were no copies
  LocalTable table = local_table(spec, mesh, 1);
  for (const ParamBucket& bucket : replicated_buckets(spec, mesh, 1, table)) {
    EXPECT_EQ(bucket.rank, bucket.experts ? 0 : 1);
  }
}

TEST(ParamBuckets, FollowTheStageOfZeroAndTheReplicas) {
  LocalTable table;
  EXPECT_TRUE(buckets_of(zero_spec(0), 0, table).empty());
  spec::RunSpec adapted = zero_spec(1);
  adapted.lora.rank = 2;
  adapted.lora.target_modules = {"attention.out"};
  for (const ParamBucket& bucket : buckets_of(adapted, 0, table))
    EXPECT_TRUE(bucket.trained);
  adapted.layout.zero_stage = 3;
  const auto frozen = [](const ParamBucket& bucket) { return !bucket.trained; };
  const std::vector<ParamBucket> all = buckets_of(adapted, 0, table);
  EXPECT_GT(std::count_if(all.begin(), all.end(), frozen), 0);
  // One replica of the experts: they are not shared out.
  spec::RunSpec spread = zero_spec(2);
  spread.layout.expert_parallel_size = 4;
  for (const ParamBucket& bucket : buckets_of(spread, 0, table))
    EXPECT_FALSE(bucket.experts);
}

// Both copies of the matrix have the same shards, whatever else the stages hold.
TEST(ParamBuckets, TheEmbeddingMatrixIsAlone) {
  spec::RunSpec spec = zero_spec(1);
  spec.model.tie_embeddings = true;
  spec.model.position = spec::PositionKind::learned;
  spec.layout.pipeline_parallel_size = 2;
  std::vector<std::int64_t> sizes;
  for (const int rank : {0, 4}) {
    LocalTable table;
    for (const ParamBucket& bucket : buckets_of(spec, rank, table)) {
      if (table[bucket.entries.front().param].spec.name != "embedding.tokens") continue;
      EXPECT_EQ(bucket.entries.size(), 1U);
      sizes.push_back(bucket.num_elements);
    }
  }
  ASSERT_EQ(sizes.size(), 2U);
  EXPECT_EQ(sizes[0], sizes[1]);
}

}  // namespace
}  // namespace tera::plan
