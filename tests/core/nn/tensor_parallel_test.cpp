// A model whose heads, columns and words ranks share out computes what one rank does.
#include "core/nn/tensor_parallel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/core/nn/split_model.h"

namespace tera::nn::test {
namespace {

struct Split {
  int ranks;
  bool sequence_parallel;
};

class TensorParallelModel : public testing::TestWithParam<std::tuple<NamedConfig, Split>> {};

// Biases that are zero, and norms that are one, would hide what is added or left out.
void perturb(const Param& param) {
  const std::uint64_t seed = name_hash(param.spec.name);
  param.slice.for_each([&](std::int64_t global, std::int64_t local, std::int64_t count, bool) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint64_t word = hash_at(seed, static_cast<std::uint64_t>(global + i));
      param.value.data<double>()[local + i] += 0.1 * static_cast<double>(word) / 0x1p32;
    }
  });
}

// Loss and gradients of a batch, weights from the seed, in f64: what is left is the order of sums.
struct Trained {
  Trained(SplitModel& split, const spec::ModelConfig& config) {
    Backend& backend = *split.backend;
    init_params(split.params, config, 7);
    for (const Param& param : split.params.params())
      perturb(param);
    Model model(config, split.params);
    const Batch batch = random_batch(backend, 2, 8, config.vocab_size, 11);
    const double scale = 1.0 / static_cast<double>(num_targets(batch));
    Stash stash(backend);
    PredictionStats prediction;
    Pass pass{.batch = batch, .stash = stash, .loss_scale = scale, .prediction_stats = &prediction};
    loss = model.forward(pass, true) + prediction.loss_sum;
    num_predictions = prediction.num_targets;
    model.backward(pass);
    split.finish_gradients();
  }
  double loss = 0;
  std::int64_t num_predictions = 0;
};

TEST_P(TensorParallelModel, ComputesWhatOneRankDoes) {
  const auto& [named, split] = GetParam();
  const spec::ModelConfig config = named.config;
  spec::RunSpec spec;
  spec.model = config;
  spec.layout.tensor_parallel_size = split.ranks;
  spec.layout.sequence_parallel = split.sequence_parallel;
  SplitModel whole(config);
  const Trained expected(whole, config);
  tera::test::spawn_ranks(split.ranks, [&](comm::Communicator& world) {
    SplitModel part(spec, world);
    const Trained trained(part, config);
    EXPECT_NEAR(trained.loss, expected.loss, 1e-12 * expected.loss);
    EXPECT_EQ(trained.num_predictions, expected.num_predictions);
    expect_gradients_of(whole, part);
  });
}

std::vector<NamedConfig> dense_configs() {
  std::vector<NamedConfig> dense;
  for (NamedConfig& named : all_configs()) {
    if (named.config.num_experts > 0) continue;
    dense.push_back(std::move(named));
  }
  return dense;
}

INSTANTIATE_TEST_SUITE_P(
    Dense,
    TensorParallelModel,
    testing::Combine(testing::ValuesIn(dense_configs()),
                     testing::Values(Split{2, false}, Split{2, true}, Split{4, true})),
    [](const auto& named) {
      const Split& split = std::get<1>(named.param);
      return fmt::format("{}_over_{}{}", std::get<0>(named.param).name, split.ranks,
                         split.sequence_parallel ? "_with_tokens" : "");
    });

}  // namespace
}  // namespace tera::nn::test
