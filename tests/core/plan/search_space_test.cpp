#include "core/plan/search_space.h"

#include <random>
#include <string_view>

#include <gtest/gtest.h>

#include "core/plan/layout_figures.h"
#include "core/plan/layout_text.h"
#include "core/plan/pipeline_cut.h"
#include "core/plan/placement.h"
#include "core/spec/validate.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

spec::RunSpec small(const char* preset, int devices, int batch) {
  spec::RunSpec spec = run_spec(preset);
  spec.cluster.num_nodes = devices > 8 ? devices / 8 : 1;
  spec.cluster.devices_per_node = devices > 8 ? 8 : devices;
  spec.training.global_batch_size = batch;
  return spec;
}

// Of layouts that are the same, one is searched.
bool is_named_shortest(const spec::RunSpec& spec) {
  const spec::ParallelLayout& layout = spec.layout;
  if (layout.tensor_parallel_size == 1 && layout.sequence_parallel) return false;
  const int replicas = layout.context_parallel_size * layout.data_parallel_size;
  const int folded = layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  const int copies = layout.zero_replicas;  // of a rank each
  const bool one =
      replicas == copies &&
      (spec.model.num_experts == 0 || layout.tensor_parallel_size * replicas == copies * folded);
  if (one && layout.zero_stage > 0) return false;
  if (layout.schedule == spec::ScheduleKind::gpipe && spec.num_micro_batches() == 1) return false;
  if (layout.rank_order == spec::RankOrder::tp_cp_ep_pp_dp && !has_errors(spec::validate(spec)) &&
      places_alike(spec, spec::RankOrder::tp_cp_ep_dp_pp, layout.rank_order))
    return false;
  if (!layout.ends_count_as_layers) return true;
  spec::RunSpec without = spec;
  without.layout.ends_count_as_layers = false;
  return has_errors(spec::validate(without)) || cut_pipeline(without) != cut_pipeline(spec);
}

TEST(SearchSpace, HoldsExactlyTheLayoutsThatValidationAllows) {
  std::mt19937 random(3);
  const auto one_of = [&random](const std::vector<int>& values) {
    return values[std::uniform_int_distribution<std::size_t>(0, values.size() - 1)(random)];
  };
  for (const char* preset : {"mixtral-8x7b", "deepseek-v3", "gpt2-124m"}) {
    spec::RunSpec spec = small(preset, 48, 96);
    spec.layout.zero_replicas = std::string_view(preset) == "mixtral-8x7b" ? 1 : 2;
    const SearchSpace space(spec, FixedAxes{});
    ASSERT_GT(space.num_layouts(), 0);
    int legal = 0;
    for (int trial = 0; trial < 5000; ++trial) {
      const MeshSizes& mesh = space.meshes()[std::uniform_int_distribution<std::size_t>(
          0, space.meshes().size() - 1)(random)];
      spec::RunSpec tried = spec;
      tried.layout = space.layout_of(mesh);
      if (trial % 5 == 0) tried.layout.tensor_parallel_size = one_of({1, 2, 3, 4, 6});
      if (trial % 7 == 0) tried.layout.sequence_parallel = !mesh.sequence_parallel;
      tried.layout.expert_parallel_size = one_of({1, 1, 1, 2, 3, 8});
      tried.layout.expert_tensor_parallel_size = one_of({1, 1, 1, 2, 4});
      tried.layout.rank_order = static_cast<spec::RankOrder>(one_of({0, 0, 1}));
      tried.layout.micro_batch_size = one_of({1, 1, 2, 3, 4});
      tried.layout.schedule = static_cast<spec::ScheduleKind>(one_of({0, 1, 2, 3, 4, 5, 6}));
      tried.layout.virtual_stages = one_of({1, 1, 2, 2, 3});
      tried.layout.recompute = static_cast<spec::RecomputeKind>(one_of({0, 1, 2}));
      tried.layout.zero_stage = one_of({0, 1, 2, 3});
      tried.layout.ends_count_as_layers = one_of({0, 1}) == 1;
      tried.layout.offload.optimizer = static_cast<spec::OffloadTier>(one_of({0, 0, 1, 2}));
      const bool searched =
          tried.layout.world_size() == spec.cluster.num_devices() && is_named_shortest(tried);
      const bool allowed = searched && !has_errors(spec::validate(tried));
      EXPECT_EQ(space.contains(tried.layout), allowed) << preset << layout_text(tried.layout);
      legal += allowed ? 1 : 0;
    }
    EXPECT_GT(legal, 100) << preset;
  }
}

TEST(SearchSpace, HasOneOfLayoutsThatAreTheSame) {
  const spec::RunSpec spec = small("gpt2-124m", 1, 1);
  const SearchSpace space(spec, FixedAxes{});
  EXPECT_EQ(space.num_layouts(), 3) << "of one device and one sequence, recomputation differs";
  ASSERT_EQ(space.meshes().size(), 1U);
  EXPECT_EQ(space.schedules(1, 1), std::vector<ScheduleChoice>{{}});
  const SearchSpace held(spec, *FixedAxes::parse({"zero_stage=2,3", "schedule=gpipe"}));
  EXPECT_EQ(held.num_layouts(), 3);
  EXPECT_EQ(held.zero_stages(held.meshes().front(), {}), std::vector<int>{2});
  EXPECT_EQ(held.schedules(1, 1).front().kind, spec::ScheduleKind::gpipe);
}

TEST(SearchSpace, HoldsWhatIsNotSearchedToTheValueGiven) {
  const spec::RunSpec spec = small("mixtral-8x7b", 16, 64);
  const SearchSpace space(
      spec, *FixedAxes::parse({"zero_replicas=2", "expert_dispatcher=all-gather",
                               "context_parallel_method=ulysses", "expert_load_percentile=90"}));
  ASSERT_GT(space.num_layouts(), 0);
  for (const MeshSizes& mesh : space.meshes()) {
    const spec::ParallelLayout layout = space.layout_of(mesh);
    EXPECT_EQ(layout.zero_replicas, 2);
    EXPECT_EQ(layout.expert_dispatcher, spec::ExpertDispatcher::all_gather);
    EXPECT_EQ(layout.context_parallel_method, spec::ContextMethod::ulysses);
    EXPECT_EQ(layout.expert_load_percentile, 90);
    EXPECT_EQ(layout.context_parallel_size * layout.data_parallel_size % 2, 0);
  }
  EXPECT_GT(space.refused().at("refused: layout.zero_replicas"), 0);
}

// Two nodes of 8. Ranks of a tensor group of 8 fill one; with 2 of them there is room for stages or
// for replicas.
TEST(SearchSpace, HasTheOrdersOfRanksThatPutOtherGroupsIntoANode) {
  using spec::RankOrder;
  const std::vector<RankOrder> both = {RankOrder::tp_cp_ep_dp_pp, RankOrder::tp_cp_ep_pp_dp};
  spec::RunSpec spec = small("mixtral-8x7b", 16, 64);
  const SearchSpace space(spec, FixedAxes{});
  EXPECT_EQ(space.rank_orders({2, 1, 2, 4, true}, {1, 1}), both);
  EXPECT_EQ(space.rank_orders({2, 1, 4, 2, true}, {8, 1}), std::vector{both[0]});
  EXPECT_EQ(space.rank_orders({8, 1, 1, 2, true}, {1, 1}), std::vector{both[0]});
  EXPECT_EQ(space.rank_orders({2, 1, 8, 1, true}, {1, 1}), std::vector{both[0]});
  const SearchSpace held(spec, *FixedAxes::parse({"rank_order=tp-cp-ep-pp-dp"}));
  EXPECT_EQ(held.num_layouts(),
            SearchSpace(spec, *FixedAxes::parse({"rank_order=tp-cp-ep-dp-pp"})).num_layouts())
      << "where it is the same, one is held";
  // As many replicas of experts as of the rest, or of no experts.
  spec.software.framework = spec::Framework::megatron_lm;
  const SearchSpace megatron(spec, FixedAxes{});
  EXPECT_EQ(megatron.rank_orders({2, 1, 2, 4, true}, {2, 1}), both);
  EXPECT_EQ(megatron.rank_orders({2, 1, 2, 4, true}, {1, 1}), std::vector{both[0]});
  EXPECT_GT(megatron.refused().at("refused: layout.rank_order"), 0);
}

TEST(SearchSpace, OrdersThatPlaceAlikeArePlannedAlike) {
  for (const char* preset : {"mixtral-8x7b", "gpt2-124m"}) {
    spec::RunSpec spec = small(preset, 16, 64);
    const SearchSpace space(spec, FixedAxes{});
    int alike = 0;
    int apart = 0;
    for (const MeshSizes& mesh : space.meshes()) {
      for (const ExpertSizes& experts : space.experts(mesh.pipeline)) {
        spec.layout = space.layout_of(mesh);
        spec.layout.expert_parallel_size = experts.expert;
        spec.layout.expert_tensor_parallel_size = experts.expert_tensor;
        const auto usual = layout_figures(spec);
        spec.layout.rank_order = spec::RankOrder::tp_cp_ep_pp_dp;
        const auto other = layout_figures(spec);
        ASSERT_TRUE(usual && other);
        EXPECT_EQ(usual->memory_bytes, other->memory_bytes);
        if (space.rank_orders(mesh, experts).size() == 1) {
          EXPECT_EQ(usual->step_s, other->step_s) << layout_text(spec.layout);
          ++alike;
        } else if (usual->step_s != other->step_s) {
          ++apart;
        }
      }
    }
    EXPECT_GT(alike, 10) << preset;
    EXPECT_GT(apart, 10) << preset;
  }
}

TEST(SearchSpace, HasEveryWayToOffloadThatTheClusterAllows) {
  spec::RunSpec spec = small("mixtral-8x7b", 16, 64);
  EXPECT_EQ(SearchSpace(spec, FixedAxes{}).offloads().size(), 81U);
  EXPECT_FALSE(SearchSpace(spec, FixedAxes{}).offloads().front().any());
  const FixedAxes fixed =
      *FixedAxes::parse({"offload.weights=host,nvme", "offload.optimizer=none"});
  EXPECT_EQ(SearchSpace(spec, fixed).offloads().size(), 2U * 3 * 3);
  spec.cluster.host.nvme_bytes = 0;
  EXPECT_EQ(SearchSpace(spec, FixedAxes{}).offloads().size(), 16U);
  spec.cluster.host = {};
  EXPECT_EQ(SearchSpace(spec, FixedAxes{}).offloads().size(), 1U);
}

// 126 layers and both ends are 128 parts.
TEST(SearchSpace, HasPipelinesThatOnlyTheEndsMakeWhole) {
  spec::RunSpec spec = small("gpt2-124m", 16, 64);
  spec.model.num_layers = 14;
  const SearchSpace space(spec, *FixedAxes::parse({"pipeline_parallel_size=16"}));
  ASSERT_EQ(space.meshes().size(), 1U);
  for (const ScheduleChoice& choice : space.schedules(16, 64))
    EXPECT_TRUE(choice.ends_count_as_layers);
  EXPECT_FALSE(space.schedules(16, 64).empty());
}

TEST(SearchSpace, KeepsToWhatIsFixed) {
  const spec::RunSpec spec = small("mixtral-8x7b", 16, 64);
  const SearchSpace space(
      spec, *FixedAxes::parse({"tensor_parallel_size=2", "schedule=interleaved", "zero_stage=1"}));
  const SearchSpace all(spec, FixedAxes{});
  EXPECT_LT(space.num_layouts(), all.num_layouts() / 4);
  for (const MeshSizes& mesh : space.meshes()) {
    EXPECT_EQ(mesh.tensor, 2);
    for (const int size : space.micro_batch_sizes(mesh.data)) {
      for (const ScheduleChoice& choice : space.schedules(mesh.pipeline, 64 / mesh.data / size))
        EXPECT_EQ(choice.kind, spec::ScheduleKind::interleaved);
    }
  }
  EXPECT_EQ(SearchSpace(spec, *FixedAxes::parse({"tensor_parallel_size=3"})).num_layouts(), 0);
}

}  // namespace
}  // namespace tera::plan
