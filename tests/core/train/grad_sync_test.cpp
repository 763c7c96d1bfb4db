// The sum of gradients over ranks, their norm and the clip.
#include "core/train/grad_sync.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train {
namespace {

TEST(GradSync, NormIsTheRootOfAllSquares) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool);
  const auto self = comm::make_self_communicator();
  spec::RunSpec spec;
  spec.model = nn::test::moe_config();
  nn::ParamStore params(*backend, plan::make_param_table(spec), {});
  const auto norm = [&] { return gradient_norm(params, spec, *self); };
  params.settle_grads();
  EXPECT_EQ(norm(), 0.0);
  params.params().front().grad.data<float>()[3] = 3.0F;
  params.params().back().grad.data<float>()[0] = 4.0F;
  EXPECT_DOUBLE_EQ(norm(), 5.0);
  params.params().back().grad.data<float>()[1] = std::nanf("");
  EXPECT_TRUE(std::isnan(norm()));
}

// Every stage has the norm of the whole model, in which the copy of the embedding counts once.
TEST(GradSync, NormAndCopiesOverStages) {
  spec::RunSpec spec;
  spec.model = nn::test::llama_config();
  spec.model.tie_embeddings = true;
  spec.layout.pipeline_parallel_size = 2;
  test::spawn_ranks(2, [&](comm::Communicator& world) {
    ThreadPool pool(1);
    const auto backend = make_cpu_backend(pool);
    const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
    nn::ParamStore params(*backend, plan::local_table(spec, mesh, world.rank()), {});
    params.settle_grads();
    nn::Param& embedding = params.get("embedding.tokens");
    embedding.grad.data<float>()[5] = world.rank() == 0 ? 1.0F : 2.0F;
    sum_embedding_copies(params, spec, world);
    EXPECT_EQ(embedding.grad.data<float>()[5], 3.0F);
    const char* own = world.rank() == 0 ? "layers.0.ffn.out.weight" : "final_norm.weight";
    params.get(own).grad.data<float>()[1] = 4.0F;
    EXPECT_EQ(gradient_norm(params, spec, world), std::sqrt(9.0 + 16.0 + 16.0));
  });
}

TEST(GradSync, ClipOnlyShortens) {
  EXPECT_DOUBLE_EQ(clip_factor(5.0, 1.0), 0.2);
  EXPECT_DOUBLE_EQ(clip_factor(0.5, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(clip_factor(5.0, 0.0), 1.0);
}

TEST(GradSync, SumsOverRanks) {
  constexpr int kRanks = 3;
  test::spawn_ranks(kRanks, [](comm::Communicator& world) {
    ThreadPool pool(1);
    const auto backend = make_cpu_backend(pool);
    nn::ParamStore params(*backend, plan::make_param_table(nn::test::moe_config()), {});
    params.settle_grads();
    for (nn::Param& param : params.params()) {
      for (std::int64_t i = 0; i < param.grad.num_elements(); ++i) {
        param.grad.data<float>()[i] = static_cast<float>((world.rank() + 1) * (i % 7));
      }
    }
    sum_gradients(params, world);
    for (const nn::Param& param : params.params()) {
      for (std::int64_t i = 0; i < param.grad.num_elements(); ++i) {
        ASSERT_EQ(param.grad.data<float>()[i], static_cast<float>(6 * (i % 7)));  // (1 + 2 + 3) x
      }
    }
  });
}

}  // namespace
}  // namespace tera::train
