// Groups of a mesh: the ranks that arithmetic says, each its own traffic, and cheap for any rank.
#include "core/comm/mesh_groups.h"

#include <malloc.h>

#include <gtest/gtest.h>

#include "core/base/clock.h"
#include "core/plan/param_slice.h"
#include "core/plan/pipeline_schedule.h"
#include "core/spec/presets.h"
#include "core/tensor/cpu_backend.h"
#include "tests/support/spawn_ranks.h"

namespace tera::comm {
namespace {

using plan::Axis;

spec::ParallelLayout layout_of_all_axes() {
  spec::ParallelLayout layout;
  layout.tensor_parallel_size = 2;
  layout.context_parallel_size = 2;
  layout.data_parallel_size = 2;
  layout.pipeline_parallel_size = 2;
  layout.expert_parallel_size = 4;
  return layout;
}

TEST(MeshGroups, HoldTheRanksOfTheirAxisInOrder) {
  for (const auto order : {spec::RankOrder::tp_cp_ep_dp_pp, spec::RankOrder::tp_cp_ep_pp_dp}) {
    spec::ParallelLayout layout = layout_of_all_axes();
    layout.rank_order = order;
    const plan::RankMesh mesh = *plan::RankMesh::make(layout);
    test::spawn_ranks(mesh.world_size(), [&](Communicator& world) {
      MeshGroups groups(mesh, world);
      const std::vector<MeshGroup> expected = mesh_groups(mesh, world.rank());
      for (int axis = 0; axis < plan::kNumAxes; ++axis) {
        Communicator& group = groups[static_cast<Axis>(axis)];
        const MeshGroup& planned = expected[static_cast<std::size_t>(axis)];
        ASSERT_EQ(group.group().axis, planned.name);
        ASSERT_EQ(group.size(), planned.ranks.size);
        for (int i = 0; i < group.size(); ++i)
          ASSERT_EQ(group.group().ranks[static_cast<std::size_t>(i)], planned.ranks[i]);
        ASSERT_EQ(group.rank(), mesh.coordinate(world.rank(), static_cast<Axis>(axis)));
      }
      ASSERT_EQ(groups.replicas(false).size(), 4);
      ASSERT_EQ(groups.replicas(true).size(), 2);
      ASSERT_EQ(groups.replicas(true).group().axis, "expert_data");
      const int stage = mesh.coordinate(world.rank(), Axis::pipeline);
      ASSERT_EQ(groups.embedding().size(), 2);
      ASSERT_EQ(groups.embedding().rank(), stage);
    });
  }
}

TEST(MeshGroups, HoldCopiesOfWhatZeroShards) {
  spec::ParallelLayout layout = layout_of_all_axes();
  layout.expert_parallel_size = 2;
  layout.rank_order = spec::RankOrder::tp_cp_ep_pp_dp;
  layout.zero_replicas = 2;
  const plan::RankMesh mesh = *plan::RankMesh::make(layout);
  test::spawn_ranks(mesh.world_size(), [&](Communicator& world) {
    MeshGroups groups(mesh, world);
    ASSERT_TRUE(groups.has_copies());
    for (const bool experts : {false, true}) {
      const auto expect_group = [&](Communicator& group, const plan::RankGroup& planned) {
        ASSERT_EQ(group.size(), planned.size);
        for (int i = 0; i < group.size(); ++i)
          ASSERT_EQ(group.group().ranks[static_cast<std::size_t>(i)], planned[i]);
      };
      expect_group(groups.replicas(experts), mesh.replicas(world.rank(), experts));
      expect_group(groups.shards(experts), mesh.shards(world.rank(), experts));
      expect_group(groups.copies(experts), mesh.copies(world.rank(), experts));
      ASSERT_EQ(groups.shards(experts).group().axis, experts ? "expert_shard" : "shard");
      ASSERT_EQ(groups.copies(experts).group().axis, experts ? "expert_copy" : "copy");
    }
    ASSERT_EQ(groups.embedding().group().axis, "embedding");
  });
}

TEST(MeshGroups, CountTrafficByAxis) {
  const plan::RankMesh mesh = *plan::RankMesh::make(layout_of_all_axes());
  test::spawn_ranks(mesh.world_size(), [&](Communicator& world) {
    ThreadPool pool(1);
    const auto backend = make_cpu_backend(pool);
    MeshGroups groups(mesh, world);
    Tensor x = Tensor::zeros(*backend, {6}, DType::f64, MemoryKind::workspace);
    x.data<double>()[0] = groups.rank();
    groups.replicas(false).all_reduce(x, Reduce::sum);
    double sum = 0;
    for (const int rank : groups.replicas(false).group().ranks)
      sum += rank;
    ASSERT_EQ(x.data<double>()[0], sum);
    ASSERT_EQ(world.traffic().wire_bytes("replica"), 2 * 48.0 * 3 / 4);
    ASSERT_EQ(world.traffic().wire_bytes(), world.traffic().wire_bytes("replica"));
  });
}

TEST(MeshGroups, RefuseAWorldOfAnotherSize) {
  const auto world = make_self_communicator();
  const plan::RankMesh mesh = *plan::RankMesh::make(layout_of_all_axes());
  EXPECT_THROW(MeshGroups(mesh, *world), ContractError);
}

// Mesh, groups, tensors and order of work of one rank of a run on 16,384.
TEST(MeshGroups, AnyRankOfTheLargestRunKnowsItsPlaceAtOnce) {
  const spec::RunSpec spec = spec::run_preset("moe-1t")->spec;
  ASSERT_EQ(spec.layout.world_size(), 16384);
  for (const int rank : {0, 9999, 16383}) {
    const std::size_t before = mallinfo2().uordblks;
    const double begin = monotonic_s();
    const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
    const std::vector<MeshGroup> groups = mesh_groups(mesh, rank);
    const plan::LocalTable table = plan::local_table(spec, mesh, rank);
    const plan::PipelineSchedule schedule = plan::make_schedule(spec);
    const double seconds = monotonic_s() - begin;
    const std::size_t bytes = mallinfo2().uordblks - before;
    RecordProperty("microseconds_" + std::to_string(rank), static_cast<int>(seconds * 1e6));
    RecordProperty("bytes_" + std::to_string(rank), static_cast<int>(bytes));
    EXPECT_LT(seconds, 10e-3);
    EXPECT_LT(bytes, 10U << 20);
    EXPECT_FALSE(table.empty());
    EXPECT_EQ(groups.size(), 9U);
    EXPECT_EQ(std::ssize(schedule.stages), spec.layout.pipeline_parallel_size);
  }
}

}  // namespace
}  // namespace tera::comm
