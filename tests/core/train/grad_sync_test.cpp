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
  nn::ParamStore params(*backend, plan::make_param_table(nn::test::moe_config()), {});
  params.settle_grads();
  EXPECT_EQ(gradient_norm(params), 0.0);
  params.params().front().grad.data<float>()[3] = 3.0F;
  params.params().back().grad.data<float>()[0] = 4.0F;
  EXPECT_DOUBLE_EQ(gradient_norm(params), 5.0);
  params.params().back().grad.data<float>()[1] = std::nanf("");
  EXPECT_TRUE(std::isnan(gradient_norm(params)));
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
