// The parts of a tensor that ranks hold: every element somewhere, counted once, as many as planned.
#include "core/plan/param_slice.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "core/plan/adapter_table.h"
#include "core/plan/placement.h"
#include "core/spec/validate.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using Shape = std::vector<std::int64_t>;

spec::RunSpec small_spec() {
  spec::RunSpec spec;
  spec::ModelConfig& m = spec.model;
  m.num_layers = 3;
  m.hidden_size = 16;
  m.num_attention_heads = 8;
  m.num_key_value_heads = 2;
  m.head_dim = 4;
  m.vocab_size = 61;
  m.num_experts = 8;
  m.router_top_k = 2;
  m.moe_ffn_hidden_size = 8;
  m.ffn_hidden_size = 16;
  m.num_dense_layers = 1;
  m.num_shared_experts = 1;
  m.qk_norm = spec::QkNormKind::full;
  m.attention_bias = spec::AttentionBias::all;
  spec.layout.sequence_parallel = true;
  spec.training.seq_length = 32;
  spec.training.global_batch_size = 64;
  return spec;
}

RankMesh mesh_of(const spec::RunSpec& spec) {
  return *RankMesh::make(spec.layout);
}

ParamSlice slice_on(const spec::RunSpec& spec, int rank, std::string_view name) {
  for (const LocalParam& param : local_table(spec, mesh_of(spec), rank)) {
    if (param.spec.name == name) return param.slice;
  }
  ADD_FAILURE() << "rank " << rank << " has no " << name;
  return {};
}

TEST(ParamSlice, StackedMatricesAreSplitEachOnItsOwn) {
  spec::RunSpec spec = small_spec();
  spec.layout.tensor_parallel_size = 4;
  // 8 query heads: two each; 2 key and value heads: two ranks share one.
  const ParamSlice qkv = slice_on(spec, 3, "layers.0.attention.qkv.weight");
  EXPECT_EQ(qkv.shape, (Shape{16, 16}));
  EXPECT_EQ(qkv.row_parts, (Shape{8, 4, 4}));
  ASSERT_EQ(qkv.runs.size(), 3U);
  EXPECT_EQ(qkv.runs[0].global, 24 * 16);
  EXPECT_TRUE(qkv.runs[0].first);
  EXPECT_EQ(qkv.runs[1].global, (32 + 4) * 16);
  EXPECT_FALSE(qkv.runs[1].first);  // rank 2 has this head
  EXPECT_EQ(qkv.runs[2].local, 12 * 16);
  EXPECT_EQ(qkv.first_ranges(), (std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 8 * 16}}));
  EXPECT_EQ(slice_on(spec, 1, "layers.0.attention.k_norm.weight").shape, Shape{4});
  // Gate and up rows.
  const ParamSlice in = slice_on(spec, 1, "layers.0.ffn.in.weight");
  EXPECT_EQ(in.row_parts, (Shape{4, 4}));
  EXPECT_EQ(in.runs[1].global, (16 + 4) * 16);
  EXPECT_EQ(in.runs[1].local, 4 * 16);
  // Columns: as many runs as rows.
  const ParamSlice out = slice_on(spec, 1, "layers.0.ffn.out.weight");
  ASSERT_EQ(out.runs.size(), 1U);
  EXPECT_EQ(out.runs[0].repeats, 16);
  EXPECT_EQ(out.runs[0].global_step, 16);
  EXPECT_EQ(out.runs[0].local_step, 4);
  // 61 rows over 4 ranks: 16 each, the last has padding.
  const ParamSlice head = slice_on(spec, 3, "head.weight");
  EXPECT_EQ(head.shape, (Shape{16, 16}));
  EXPECT_EQ(head.runs[0].count, 13 * 16);
  // What is on all ranks counts on the first.
  EXPECT_FALSE(slice_on(spec, 1, "final_norm.weight").runs[0].first);
  EXPECT_TRUE(slice_on(spec, 0, "final_norm.weight").runs[0].first);
}

TEST(ParamSlice, ExpertsAreSharedOutAndEachIsSplit) {
  spec::RunSpec spec = small_spec();
  spec.layout.data_parallel_size = 8;
  spec.layout.expert_parallel_size = 2;
  spec.layout.expert_tensor_parallel_size = 2;
  const ParamSlice in = slice_on(spec, 3, "layers.1.moe.experts.in.weight");  // ep 1, etp 1
  EXPECT_EQ(in.shape, (Shape{4, 8, 16}));
  EXPECT_EQ(in.row_parts, (Shape{4, 4}));
  ASSERT_EQ(in.runs.size(), 2U);
  EXPECT_EQ(in.runs[1].global, (4 * 16 + 8 + 4) * 16);
  EXPECT_EQ(in.runs[1].repeats, 4);
  EXPECT_EQ(in.runs[1].global_step, 16 * 16);
  EXPECT_EQ(in.runs[1].local_step, 8 * 16);
  const ParamSlice out = slice_on(spec, 3, "layers.1.moe.experts.out.weight");
  EXPECT_EQ(out.shape, (Shape{4, 16, 4}));
  ASSERT_EQ(out.runs.size(), 1U);
  EXPECT_EQ(out.runs[0].global, 4 * 16 * 8 + 4);
  EXPECT_EQ(out.runs[0].repeats, 4 * 16);
}

TEST(LocalTable, FollowsTheStages) {
  spec::RunSpec spec = small_spec();
  spec.model.tie_embeddings = true;
  spec.model.num_mtp_layers = 1;
  spec.layout.pipeline_parallel_size = 2;
  const auto names = [&](int rank) {
    std::vector<std::string> found;
    for (const LocalParam& param : local_table(spec, mesh_of(spec), rank))
      found.push_back(param.spec.name);
    return found;
  };
  const auto has = [](const std::vector<std::string>& all, const char* name) {
    return std::find(all.begin(), all.end(), name) != all.end();
  };
  EXPECT_TRUE(has(names(0), "embedding.tokens"));
  EXPECT_TRUE(has(names(0), "layers.1.moe.router.weight"));
  EXPECT_FALSE(has(names(0), "layers.2.moe.router.weight"));
  EXPECT_FALSE(has(names(0), "final_norm.weight"));
  EXPECT_TRUE(has(names(1), "layers.3.mtp.proj.weight"));
  EXPECT_TRUE(has(names(1), "final_norm.weight"));
  EXPECT_FALSE(slice_on(spec, 1, "embedding.tokens").runs[0].first) << "a copy";
}

// Layouts of all axes whose spec is legal, at random.
spec::RunSpec random_layout(std::mt19937& random) {
  const auto pick = [&](std::initializer_list<int> choices) {
    return *(choices.begin() +
             std::uniform_int_distribution<std::ptrdiff_t>(0, std::ssize(choices) - 1)(random));
  };
  for (;;) {
    spec::RunSpec spec = small_spec();
    spec::ModelConfig& m = spec.model;
    m.num_key_value_heads = pick({1, 2, 4, 8});
    m.tie_embeddings = pick({0, 1}) == 1;
    m.num_mtp_layers = pick({0, 1});
    m.qk_norm = static_cast<spec::QkNormKind>(pick({0, 1, 2}));
    m.activation = static_cast<spec::ActivationKind>(pick({0, 1, 2, 3}));
    if (pick({0, 1, 2}) == 0) {
      m.attention = spec::AttentionKind::latent;
      m.qk_norm = spec::QkNormKind::none;
      m.attention_bias = spec::AttentionBias::none;
      m.num_key_value_heads = 8;
      m.q_lora_rank = pick({0, 6});
      m.kv_lora_rank = 10;
      m.qk_nope_head_dim = 4;
      m.qk_rope_head_dim = 2;
      m.v_head_dim = 3;
    }
    spec::ParallelLayout& l = spec.layout;
    l.tensor_parallel_size = pick({1, 2, 4, 8});
    l.context_parallel_size = pick({1, 2});
    l.data_parallel_size = pick({1, 2, 3});
    l.pipeline_parallel_size = pick({1, 2, 3});
    l.expert_parallel_size = pick({1, 2, 4});
    l.expert_tensor_parallel_size = pick({1, 2, 4});
    l.rank_order = static_cast<spec::RankOrder>(pick({0, 1}));
    spec.training.global_batch_size = 6;
    if (pick({0, 1}) == 1) {
      spec.lora.rank = 2;
      spec.training.init_from = "unused";
      spec.lora.target_modules = {"attention.out", "experts.in", "experts.out"};
      if (m.attention != spec::AttentionKind::latent) {
        for (const char* each : {"attention.q", "attention.k"})
          spec.lora.target_modules.emplace_back(each);
      }
    }
    if (!has_errors(spec::validate(spec))) return spec;
  }
}

// Of one replica of everything, each element is on some rank, and counts on exactly one.
void expect_whole(const spec::RunSpec& spec) {
  const RankMesh mesh = mesh_of(spec);
  std::map<std::string, std::vector<int>> held, counted;
  const ParamTable table = make_param_table(spec);
  for (const ParamSpec& param : table) {
    const auto n = static_cast<std::size_t>(param.num_elements());
    held[param.name].resize(n);
    counted[param.name].resize(n);
  }
  for (int rank = 0; rank < mesh.world_size(); ++rank) {
    for (const LocalParam& param : local_table(spec, mesh, rank)) {
      EXPECT_EQ(static_cast<double>(param.slice.num_elements()), local_elements(param.spec, spec))
          << param.spec.name;
      EXPECT_EQ(param.local().num_elements(), param.slice.num_elements());
      if (mesh.coordinate(rank, Axis::data) + mesh.coordinate(rank, Axis::context) > 0 &&
          !param.spec.is_expert())
        continue;
      if (mesh.coordinate(rank, Axis::expert_data) > 0 && param.spec.is_expert()) continue;
      std::vector<int> here(static_cast<std::size_t>(param.slice.num_elements()));
      param.slice.for_each(
          [&](std::int64_t global, std::int64_t local, std::int64_t count, bool first) {
            for (std::int64_t i = 0; i < count; ++i) {
              ++held[param.spec.name][static_cast<std::size_t>(global + i)];
              counted[param.spec.name][static_cast<std::size_t>(global + i)] += first ? 1 : 0;
              EXPECT_EQ(++here[static_cast<std::size_t>(local + i)], 1);
            }
          });
    }
  }
  for (const ParamSpec& param : table) {
    EXPECT_GE(*std::min_element(held[param.name].begin(), held[param.name].end()), 1) << param.name;
    const auto [least, most] =
        std::minmax_element(counted[param.name].begin(), counted[param.name].end());
    EXPECT_EQ(*least, 1) << param.name;
    EXPECT_EQ(*most, 1) << param.name;
  }
}

TEST(LocalTable, RandomLayoutsHoldEverythingAndCountItOnce) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int drawn = 0; drawn < 40 && !testing::Test::HasFailure(); ++drawn) {
    const spec::RunSpec spec = random_layout(random);
    const spec::ParallelLayout& l = spec.layout;
    SCOPED_TRACE(testing::Message()
                 << "tp " << l.tensor_parallel_size << " cp " << l.context_parallel_size << " dp "
                 << l.data_parallel_size << " pp " << l.pipeline_parallel_size << " ep "
                 << l.expert_parallel_size << " etp " << l.expert_tensor_parallel_size);
    expect_whole(spec);
  }
}

}  // namespace
}  // namespace tera::plan
