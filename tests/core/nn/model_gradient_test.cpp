// Gradients of whole models against differences of the loss, in f64 on the reference ops.
#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"
#include "tests/support/gradcheck.h"

namespace tera::nn::test {
namespace {

class ModelGradient : public testing::TestWithParam<NamedConfig> {};

TEST_P(ModelGradient, OfEveryParameterMatchesDifferences) {
  TinyModel tiny(GetParam().config);
  // Seed 3 lies on a kink of expert_choice: two tokens an expert ranks alike.
  const Batch batch = random_batch(*tiny.backend, 2, 7, tiny.config.vocab_size, 4);
  const double scale = 1.0 / static_cast<double>(num_targets(batch));
  constexpr double kShare = 0.5;  // as if this were one of two micro-batches
  const double loss = tiny.train(batch, scale, kShare);
  EXPECT_GT(loss, 0.5);
  EXPECT_DOUBLE_EQ(loss, tiny.evaluate(batch, scale, kShare));
  for (const Param& param : tiny.params.params()) {
    if (!param.spec.trainable) {
      EXPECT_FALSE(param.trained) << param.spec.name;
      continue;
    }
    const auto n = static_cast<std::size_t>(param.value.num_elements());
    tera::test::expect_gradient(param.spec.name, {param.value.data<double>(), n},
                                {param.grad.data<double>(), n},
                                [&] { return tiny.evaluate(batch, scale, kShare); });
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         ModelGradient,
                         testing::ValuesIn(all_and_training_configs()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tera::nn::test
