// AdamW against its equations in f64, and the gradient sum, norm and clip around it.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/train/adamw.h"
#include "core/train/grad_sync.h"
#include "kernels/bf16.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train {
namespace {

void fill(Tensor& tensor, std::uint64_t stream) {
  const Philox rng(5, RngPurpose::test, stream);
  for (std::int64_t i = 0; i < tensor.num_elements(); ++i) {
    const float value = rng.uniform(0, static_cast<std::uint64_t>(i)) - 0.5F;
    if (tensor.dtype() == DType::bf16) {
      tensor.data<kernels::Bf16>()[i] = kernels::Bf16(value);
    } else {
      tensor.data<float>()[i] = value;
    }
  }
}

class OptimizerTest : public testing::TestWithParam<DType> {
 protected:
  ThreadPool pool_{2};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_);
};

TEST_P(OptimizerTest, FollowsItsEquations) {
  nn::ParamStore params(*backend_, plan::make_param_table(nn::test::moe_config()),
                        {.compute = GetParam()});
  std::uint64_t stream = 0;
  for (nn::Param& param : params.params())
    fill(param.value, ++stream);
  spec::TrainingConfig config;
  config.weight_decay = 0.1;
  AdamW optimizer(params, config);

  struct Reference {
    std::vector<double> w, m, v;
  };
  std::map<std::string, Reference> references;
  for (nn::Param& param : params.params()) {
    Reference r;
    const auto n = static_cast<std::size_t>(param.value.num_elements());
    r.m.assign(n, 0);
    r.v.assign(n, 0);
    for (std::size_t i = 0; i < n; ++i) {
      r.w.push_back(
          param.value.dtype() == DType::bf16
              ? static_cast<double>(static_cast<float>(param.value.data<kernels::Bf16>()[i]))
              : static_cast<double>(param.value.data<float>()[i]));
    }
    references[param.spec.name] = r;
  }
  constexpr double kRate = 0.01;
  constexpr double kScale = 0.5;
  constexpr int kSteps = 4;
  for (int step = 1; step <= kSteps; ++step) {
    for (nn::Param& param : params.params()) {
      fill(param.grad, ++stream);
      Reference& r = references[param.spec.name];
      for (std::size_t i = 0; i < r.w.size(); ++i) {
        const double g = kScale * static_cast<double>(param.grad.data<float>()[i]);
        r.m[i] = config.adam_beta1 * r.m[i] + (1 - config.adam_beta1) * g;
        r.v[i] = config.adam_beta2 * r.v[i] + (1 - config.adam_beta2) * g * g;
        const double m_hat = r.m[i] / (1 - std::pow(config.adam_beta1, step));
        const double v_hat = r.v[i] / (1 - std::pow(config.adam_beta2, step));
        const double decay = param.spec.decay ? config.weight_decay : 0.0;
        r.w[i] -= kRate * (m_hat / (std::sqrt(v_hat) + config.adam_eps) + decay * r.w[i]);
      }
    }
    optimizer.step(kRate, kScale);
  }
  EXPECT_EQ(optimizer.steps_done(), kSteps);
  // Each step rounds the weight, of size below 1, a few times to f32, and the update is below
  // kRate.
  const double tolerance = kSteps * 8 * 0x1p-24;
  int decayed = 0;
  for (nn::Param& param : params.params()) {
    const Reference& r = references[param.spec.name];
    decayed += param.spec.decay ? 1 : 0;
    for (std::size_t i = 0; i < r.w.size(); ++i) {
      if (param.value.dtype() == DType::bf16) {  // the master is exact, the weight its rounding
        const double value =
            static_cast<double>(static_cast<float>(param.value.data<kernels::Bf16>()[i]));
        EXPECT_NEAR(value, r.w[i], std::abs(r.w[i]) * 0x1p-8 + tolerance)
            << param.spec.name << " " << i;
      } else {
        EXPECT_NEAR(static_cast<double>(param.value.data<float>()[i]), r.w[i], tolerance)
            << param.spec.name << " " << i;
      }
    }
  }
  EXPECT_GT(decayed, 0);
  optimizer.visit_state([&](const std::string& name, std::string_view role, Tensor& tensor) {
    if (role != "master") return;
    for (std::size_t i = 0; i < references[name].w.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(tensor.data<float>()[i]), references[name].w[i], tolerance);
    }
  });
}

TEST_P(OptimizerTest, HoldsMastersOnlyForBf16Weights) {
  nn::ParamStore params(*backend_, plan::make_param_table(nn::test::moe_config()),
                        {.compute = GetParam()});
  AdamW optimizer(params, {});
  int masters = 0;
  int moments = 0;
  optimizer.visit_state([&](const std::string& name, std::string_view role, Tensor& tensor) {
    EXPECT_EQ(tensor.shape(), params.get(name).value.shape());
    (role == "master" ? masters : moments) += 1;
  });
  int bf16_weights = 0;
  for (const nn::Param& param : params.params())
    bf16_weights += param.value.dtype() == DType::bf16 ? 1 : 0;
  EXPECT_EQ(masters, bf16_weights);
  EXPECT_EQ(moments, 2 * static_cast<int>(params.params().size()));
}

INSTANTIATE_TEST_SUITE_P(Precisions,
                         OptimizerTest,
                         testing::Values(DType::f32, DType::bf16),
                         [](const auto& test) { return std::string(dtype_name(test.param)); });

TEST(GradSync, NormIsTheRootOfAllSquares) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool);
  nn::ParamStore params(*backend, plan::make_param_table(nn::test::moe_config()), {});
  params.zero_grads();
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
