#include "core/plan/rank_mesh.h"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

constexpr Axis kAxes[] = {Axis::tensor,        Axis::context, Axis::data,       Axis::pipeline,
                          Axis::expert_tensor, Axis::expert,  Axis::expert_data};

RankMesh mesh_of(const spec::ParallelLayout& layout) {
  return RankMesh::make(layout).value();
}

// Groups along an axis partition all ranks, and every member names the same group.
void expect_partition(const RankMesh& mesh, Axis axis) {
  std::vector<int> seen(static_cast<std::size_t>(mesh.world_size()), 0);
  std::set<int> firsts;
  for (int rank = 0; rank < mesh.world_size(); ++rank) {
    const RankGroup group = mesh.group(rank, axis);
    ASSERT_EQ(group.size, mesh.size(axis));
    EXPECT_EQ(group[mesh.coordinate(rank, axis)], rank);
    if (!firsts.insert(group.first).second) continue;
    for (int i = 0; i < group.size; ++i) {
      EXPECT_EQ(mesh.group(group[i], axis), group);
      ++seen[static_cast<std::size_t>(group[i])];
    }
  }
  for (const int count : seen)
    EXPECT_EQ(count, 1);
}

TEST(RankMesh, OneRankIsEveryGroup) {
  const RankMesh mesh = mesh_of({});
  EXPECT_EQ(mesh.world_size(), 1);
  for (const Axis axis : kAxes)
    EXPECT_EQ(mesh.group(0, axis), (RankGroup{0, mesh.stride(axis), 1}));
}

TEST(RankMesh, EveryAxisPartitionsTheRanks) {
  const RankMesh mesh = mesh_of({.tensor_parallel_size = 2,
                                 .context_parallel_size = 3,
                                 .data_parallel_size = 4,
                                 .pipeline_parallel_size = 2,
                                 .expert_parallel_size = 6,
                                 .expert_tensor_parallel_size = 2,
                                 .offload = {}});
  EXPECT_EQ(mesh.world_size(), 48);
  EXPECT_EQ(mesh.size(Axis::expert_data), 2);
  for (const Axis axis : kAxes)
    expect_partition(mesh, axis);
}

TEST(RankMesh, TensorIsInnermostAndPipelineOutermost) {
  const RankMesh mesh = mesh_of({.tensor_parallel_size = 4,
                                 .context_parallel_size = 2,
                                 .data_parallel_size = 8,
                                 .pipeline_parallel_size = 3,
                                 .offload = {}});
  EXPECT_EQ(mesh.group(5, Axis::tensor), (RankGroup{4, 1, 4}));
  EXPECT_EQ(mesh.group(5, Axis::context), (RankGroup{1, 4, 2}));
  EXPECT_EQ(mesh.group(5, Axis::data), (RankGroup{5, 8, 8}));
  EXPECT_EQ(mesh.group(5, Axis::pipeline), (RankGroup{5, 64, 3}));
}

// Megatron-LM's RankGenerator: rank = tp + t (cp + c (pp + p dp)), where experts have the ranks of
// tensor and context groups.
TEST(RankMesh, StagesMayAlternateWithReplicas) {
  const int t = 4, c = 2, d = 3, p = 5;
  const RankMesh mesh = mesh_of({.tensor_parallel_size = t,
                                 .context_parallel_size = c,
                                 .data_parallel_size = d,
                                 .pipeline_parallel_size = p,
                                 .expert_parallel_size = 4,
                                 .expert_tensor_parallel_size = 2,
                                 .rank_order = spec::RankOrder::tp_cp_ep_pp_dp,
                                 .offload = {}});
  for (int rank = 0; rank < mesh.world_size(); ++rank) {
    EXPECT_EQ(mesh.coordinate(rank, Axis::tensor), rank % t);
    EXPECT_EQ(mesh.coordinate(rank, Axis::context), rank / t % c);
    EXPECT_EQ(mesh.coordinate(rank, Axis::pipeline), rank / (t * c) % p);
    EXPECT_EQ(mesh.coordinate(rank, Axis::data), rank / (t * c * p));
    EXPECT_EQ(mesh.coordinate(rank, Axis::expert), rank / 2 % 4);
    EXPECT_EQ(mesh.coordinate(rank, Axis::expert_data), rank / (t * c * p));
  }
  EXPECT_EQ(mesh.group(13, Axis::tensor), (RankGroup{12, 1, 4}));
  EXPECT_EQ(mesh.group(13, Axis::pipeline), (RankGroup{5, 8, 5}));
  EXPECT_EQ(mesh.group(13, Axis::data), (RankGroup{13, 40, 3}));
  EXPECT_EQ(mesh.group(13, Axis::expert_data), (RankGroup{13, 40, 3}));
  EXPECT_EQ(mesh.group(13, Axis::context, Axis::data), (RankGroup{9, 4, 6, 2, 40}));
}

// Stages of 12 ranks, of which experts need 6 side by side.
TEST(RankMesh, BlocksOfAStageHoldItsTensorContextAndExpertGroups) {
  const spec::ParallelLayout layout{.tensor_parallel_size = 2,
                                    .context_parallel_size = 1,
                                    .data_parallel_size = 6,
                                    .pipeline_parallel_size = 3,
                                    .expert_parallel_size = 3,
                                    .expert_tensor_parallel_size = 1,
                                    .rank_order = spec::RankOrder::tp_cp_ep_pp_dp,
                                    .offload = {}};
  const RankMesh mesh = mesh_of(layout);
  EXPECT_EQ(mesh.stride(Axis::pipeline), 6);
  for (const Axis axis : kAxes)
    expect_partition(mesh, axis);
  EXPECT_EQ(mesh.group(25, Axis::expert), (RankGroup{24, 1, 3}));
  EXPECT_EQ(mesh.group(25, Axis::expert_data), (RankGroup{7, 3, 4, 2, 18}));
  EXPECT_EQ(mesh.group(25, Axis::data), (RankGroup{7, 2, 6, 3, 18}));
  for (int rank = 0; rank < mesh.world_size(); ++rank) {
    const RankGroup replicas = mesh.group(rank, Axis::context, Axis::data);
    for (int i = 0; i < replicas.size; ++i) {
      EXPECT_EQ(mesh.coordinate(replicas[i], Axis::pipeline),
                mesh.coordinate(rank, Axis::pipeline));
      EXPECT_EQ(mesh.coordinate(replicas[i], Axis::tensor), mesh.coordinate(rank, Axis::tensor));
      EXPECT_EQ(mesh.coordinate(replicas[i], Axis::data), i);
    }
  }
}

TEST(RankMesh, AdjacentAxesFormOneProgression) {
  const RankMesh mesh = mesh_of({.tensor_parallel_size = 2,
                                 .context_parallel_size = 2,
                                 .data_parallel_size = 3,
                                 .offload = {}});
  for (int rank = 0; rank < mesh.world_size(); ++rank) {
    const RankGroup group = mesh.group(rank, Axis::context, Axis::data);
    EXPECT_EQ(group.size, 6);
    std::set<int> members;
    for (int i = 0; i < group.size; ++i) {
      EXPECT_EQ(mesh.coordinate(group[i], Axis::tensor), mesh.coordinate(rank, Axis::tensor));
      members.insert(group[i]);
    }
    EXPECT_TRUE(members.count(rank));
    EXPECT_EQ(members.size(), 6U);
  }
}

// Copies of what ZeRO shards are runs of neighbours among the replicas: every rank is in one copy
// and holds one shard, whatever lies between its neighbours.
TEST(RankMesh, CopiesAreRunsOfNeighboursAmongReplicas) {
  const auto check = [](const spec::ParallelLayout& layout) {
    const RankMesh mesh = mesh_of(layout);
    for (int rank = 0; rank < mesh.world_size(); ++rank) {
      for (const bool experts : {false, true}) {
        const RankGroup replicas = mesh.replicas(rank, experts);
        const RankGroup shards = mesh.shards(rank, experts);
        const RankGroup copies = mesh.copies(rank, experts);
        ASSERT_EQ(shards.size * copies.size, replicas.size);
        ASSERT_EQ(copies.size, layout.zero_replicas);
        const int place = mesh.replica(rank, experts);
        ASSERT_EQ(replicas[place], rank);
        for (int i = 0; i < shards.size; ++i)
          ASSERT_EQ(shards[i], replicas[place / shards.size * shards.size + i]) << rank;
        for (int i = 0; i < copies.size; ++i)
          ASSERT_EQ(copies[i], replicas[place % shards.size + i * shards.size]) << rank;
      }
    }
  };
  for (const auto order : {spec::RankOrder::tp_cp_ep_dp_pp, spec::RankOrder::tp_cp_ep_pp_dp}) {
    for (const int copies : {1, 2, 3, 4, 6, 12}) {
      spec::ParallelLayout layout{.context_parallel_size = 2,
                                  .data_parallel_size = 6,
                                  .pipeline_parallel_size = 2,
                                  .rank_order = order,
                                  .zero_replicas = copies,
                                  .offload = {}};
      check(layout);  // of 2 replicas side by side, runs of 3 among them
      layout.tensor_parallel_size = 2;
      check(layout);
    }
    for (const int copies : {1, 2, 3}) {
      check({.context_parallel_size = 3,
             .data_parallel_size = 4,
             .pipeline_parallel_size = 2,
             .expert_parallel_size = 2,
             .rank_order = order,
             .zero_replicas = copies,
             .offload = {}});
    }
  }
}

TEST(RankMesh, CopiesShareOutReplicasOfExpertsToo) {
  spec::ParallelLayout layout{
      .data_parallel_size = 8, .expert_parallel_size = 2, .zero_replicas = 4, .offload = {}};
  const RankMesh mesh = mesh_of(layout);
  EXPECT_EQ(mesh.shards(5, false), (RankGroup{4, 1, 2}));
  EXPECT_EQ(mesh.copies(5, false), (RankGroup{1, 2, 4}));
  EXPECT_EQ(mesh.shards(5, true), (RankGroup{5, 2, 1}));
  EXPECT_EQ(mesh.copies(5, true), (RankGroup{1, 2, 4}));
  layout.zero_replicas = 8;
  EXPECT_FALSE(RankMesh::make(layout)) << "4 replicas of experts";
  layout.zero_replicas = 3;
  EXPECT_FALSE(RankMesh::make(layout));
}

TEST(RankMesh, RefusesSizesThatDoNotFit) {
  EXPECT_FALSE(RankMesh::make({.data_parallel_size = 4, .expert_parallel_size = 3, .offload = {}}));
  EXPECT_FALSE(RankMesh::make({.tensor_parallel_size = 0, .offload = {}}));
  EXPECT_FALSE(RankMesh::make({.tensor_parallel_size = 1 << 20,
                               .context_parallel_size = 1 << 20,
                               .data_parallel_size = 1 << 20,
                               .pipeline_parallel_size = 1 << 20,
                               .offload = {}}));
}

TEST(RankMesh, DescribesARankInOneLine) {
  const RankMesh mesh = mesh_of({.tensor_parallel_size = 2,
                                 .data_parallel_size = 8,
                                 .pipeline_parallel_size = 3,
                                 .expert_parallel_size = 16,
                                 .offload = {}});
  EXPECT_EQ(mesh.describe(41), "rank 41 (tp 1 cp 0 dp 4 pp 2 | ep 9)");
}

}  // namespace
}  // namespace tera::plan
