// Gradients summed over replicas in every stage of ZeRO, their norm and the clip.
#include "core/train/grad_sync.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>

#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train {
namespace {

spec::RunSpec spec_of(int ranks, int zero_stage) {
  spec::RunSpec spec;
  spec.model = nn::test::moe_config();
  spec.layout.data_parallel_size = ranks;
  spec.layout.zero_stage = zero_stage;
  return spec;
}

// One rank's store and what it shares, in a world of ranks.
struct Rank {
  Rank(const spec::RunSpec& spec, comm::Communicator& world)
      : groups(*plan::RankMesh::make(spec.layout), world),
        params(make_param_store(*backend, spec, groups)),
        sync(params, groups, spec) {
    sync.begin_step(1);
  }
  ThreadPool pool{1};
  std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  comm::MeshGroups groups;
  nn::ParamStore params;
  GradSync sync;
};

TEST(GradSync, NormIsTheRootOfAllSquares) {
  const auto world = comm::make_self_communicator();
  Rank rank(spec_of(1, 0), *world);
  rank.sync.finish();
  EXPECT_EQ(rank.sync.norm(), 0.0);
  rank.params.params().front().grad.data<float>()[3] = 3.0F;
  rank.params.params().back().grad.data<float>()[0] = 4.0F;
  EXPECT_DOUBLE_EQ(rank.sync.norm(), 5.0);
  rank.params.params().back().grad.data<float>()[1] = std::nanf("");
  EXPECT_TRUE(std::isnan(rank.sync.norm()));
}

TEST(GradSync, ClipOnlyShortens) {
  EXPECT_DOUBLE_EQ(clip_factor(5.0, 1.0), 0.2);
  EXPECT_DOUBLE_EQ(clip_factor(0.5, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(clip_factor(5.0, 0.0), 1.0);
}

TEST(GradSync, SumsOverRanksWhatEachOfThemOwns) {
  constexpr int kRanks = 3;
  for (const int zero_stage : {0, 1, 2, 3}) {
    SCOPED_TRACE(zero_stage);
    test::spawn_ranks(kRanks, [&](comm::Communicator& world) {
      Rank rank(spec_of(kRanks, zero_stage), world);
      double squares = 0;
      for (nn::Param& param : rank.params.params()) {
        if (!param.trained) continue;
        const Tensor& grad = param.gradient();
        for (std::int64_t i = 0; i < grad.num_elements(); ++i) {
          grad.data<float>()[i] = static_cast<float>((world.rank() + 1) * (i % 7));
          squares += std::pow(6 * (i % 7), 2);  // (1 + 2 + 3) x
        }
      }
      rank.sync.finish();
      std::int64_t owned = 0;
      for (const nn::Param& param : rank.params.params()) {
        if (!param.trained) continue;
        const Tensor sum = param.owned_gradient();
        ASSERT_EQ(sum.num_elements(), param.num_owned());
        owned += param.num_owned();
        for (std::int64_t i = 0; i < param.num_owned(); ++i) {
          ASSERT_EQ(sum.data<float>()[i], static_cast<float>(6 * ((param.owned_begin + i) % 7)))
              << param.spec.name;
        }
        ASSERT_EQ(param.grad.present(), zero_stage < 2) << param.spec.name;
      }
      const std::int64_t all = plan::count_params(nn::test::moe_config()).total;
      ASSERT_EQ(owned == all, zero_stage == 0);
      ASSERT_DOUBLE_EQ(rank.sync.norm(), std::sqrt(squares));
    });
  }
}

// Four replicas in two copies: a rank owns half of what it holds, and the sum of a copy is rounded
// before the copies are added; with reproducible sums all replicas are added in a row.
TEST(GradSync, SumsShardsOverTheCopies) {
  const float least = std::ldexp(1.0F, -24);  // 1 + least is 1, 1 + 2 least is not
  for (const bool reproducible : {false, true}) {
    for (const int zero_stage : {1, 2, 3}) {
      SCOPED_TRACE(testing::Message() << zero_stage << (reproducible ? ", reproducible" : ""));
      std::atomic<std::int64_t> owned = 0;
      std::atomic<std::int64_t> trained = 0;
      test::spawn_ranks(4, [&](comm::Communicator& world) {
        spec::RunSpec spec = spec_of(4, zero_stage);
        spec.layout.zero_replicas = 2;
        spec.training.reproducible_sums = reproducible;
        Rank rank(spec, world);
        double elements = 0;
        for (nn::Param& param : rank.params.params()) {
          if (!param.trained) continue;
          const Tensor& grad = param.gradient();
          std::fill_n(grad.data<float>(), grad.num_elements(), world.rank() == 0 ? 1.0F : least);
          elements += static_cast<double>(grad.num_elements());
        }
        rank.sync.finish();
        const float expected = reproducible ? 1.0F : 1.0F + 2 * least;
        for (const nn::Param& param : rank.params.params()) {
          if (!param.trained) continue;
          owned += param.num_owned();
          trained += param.spec.num_elements();
          for (const double value : nn::test::values_of(param.owned_gradient()))
            ASSERT_EQ(value, expected) << param.spec.name;
          ASSERT_EQ(param.grad.present(), zero_stage < 2) << param.spec.name;
        }
        ASSERT_NEAR(rank.sync.norm(), std::sqrt(elements) * expected, 1e-9 * std::sqrt(elements));
        ASSERT_EQ(world.traffic().wire_bytes("copy") > 0, !reproducible);
      });
      EXPECT_EQ(2 * owned, trained) << "each copy has all of it, in two shards";
    }
  }
}

// Every stage has the norm of the whole model, in which the copy of the embedding counts once.
TEST(GradSync, NormAndCopiesOverStages) {
  spec::RunSpec spec;
  spec.model = nn::test::llama_config();
  spec.model.tie_embeddings = true;
  spec.layout.pipeline_parallel_size = 2;
  test::spawn_ranks(2, [&](comm::Communicator& world) {
    Rank rank(spec, world);
    nn::Param& embedding = rank.params.get("embedding.tokens");
    embedding.gradient().data<float>()[5] = world.rank() == 0 ? 1.0F : 2.0F;
    const char* own = world.rank() == 0 ? "layers.0.ffn.out.weight" : "final_norm.weight";
    rank.params.get(own).gradient().data<float>()[1] = 4.0F;
    rank.sync.finish();
    EXPECT_EQ(embedding.grad.data<float>()[5], 3.0F);
    EXPECT_EQ(rank.sync.norm(), std::sqrt(9.0 + 16.0 + 16.0));
  });
}

// Parts come and go with the weights they compute with, one ahead and no more.
TEST(GradSync, GathersWeightsOnePartAhead) {
  test::spawn_ranks(2, [](comm::Communicator& world) {
    const spec::RunSpec spec = spec_of(2, 3);
    Rank rank(spec, world);
    nn::init_params(rank.params, spec.model, 5);
    nn::ParamStore whole(*rank.backend, plan::make_param_table(spec.model), {});
    nn::init_params(whole, spec.model, 5);
    const auto present = [&] {
      std::vector<int> parts;
      for (const nn::ParamBucket& bucket : rank.params.buckets()) {
        if (bucket.weights.present() && (parts.empty() || parts.back() != bucket.plan.part))
          parts.push_back(bucket.plan.part);
      }
      return parts;
    };
    using Parts = std::vector<int>;
    ASSERT_EQ(present(), Parts{});
    rank.sync.before_forward(plan::kEmbeddingPart);
    ASSERT_EQ(present(), (Parts{plan::kEmbeddingPart, 0}));
    const auto expect_whole = [&](int part) {
      for (const nn::Param& param : rank.params.params()) {
        if (plan::part_of(param.spec) != part) continue;
        const Tensor& all = whole.get(param.spec.name).value;
        ASSERT_EQ(nn::test::values_of(param.value), nn::test::values_of(all)) << param.spec.name;
      }
    };
    expect_whole(plan::kEmbeddingPart);
    rank.sync.after_forward(plan::kEmbeddingPart);
    rank.sync.before_forward(0);
    expect_whole(0);
    ASSERT_EQ(present(), (Parts{0, 1}));
    rank.sync.after_forward(0);
    ASSERT_EQ(present(), Parts{1});
    rank.sync.before_backward(1);
    ASSERT_EQ(present(), (Parts{0, 1}));
    rank.sync.after_backward(1);
    rank.sync.before_backward(0);
    rank.sync.after_backward(0);
    ASSERT_EQ(present(), Parts{}) << "backward of the embedding reads no weight";
  });
}

}  // namespace
}  // namespace tera::train
