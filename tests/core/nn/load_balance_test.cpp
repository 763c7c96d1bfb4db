#include "core/nn/load_balance.h"

#include <algorithm>
#include <mutex>

#include <gtest/gtest.h>

#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"
#include "tests/support/spawn_ranks.h"

namespace tera::nn::test {
namespace {

using tera::test::largest_difference;

constexpr std::int64_t kExperts = 3;

spec::ModelConfig config_of(spec::AuxLossScope scope) {
  spec::ModelConfig config;
  config.num_experts = static_cast<int>(kExperts);
  config.router_top_k = 1;
  config.aux_loss_coeff = 0.5;
  config.aux_loss_scope = scope;
  return config;
}

// Two sequences of two tokens, each with one choice.
struct FourTokens {
  FourTokens() : pool(1), backend(make_cpu_backend(pool)), stash(*backend) {
    indices = Tensor::empty(*backend, {4, 1}, DType::i32, MemoryKind::workspace);
    const std::int32_t chosen[] = {0, 0, 2, 0};
    std::copy(chosen, chosen + 4, indices.data<std::int32_t>());
  }

  // Weights [blocks, E] times T / (share c E): the shares f.
  std::vector<double> shares(const LoadBalance& balance, RouterStats* stats) {
    const Tensor weights = Tensor::empty(*backend, {balance.num_blocks(batch), kExperts},
                                         DType::f64, MemoryKind::workspace);
    balance.fill_weights(indices, pass, stats, weights);
    std::vector<double> f;
    for (std::int64_t i = 0; i < weights.num_elements(); ++i)
      f.push_back(weights.data<double>()[i] * 4 / (0.25 * 0.5 * 3));
    return f;
  }

  ThreadPool pool;
  std::unique_ptr<Backend> backend;
  Stash stash;
  Batch batch{.batch_size = 2,
              .seq_length = 2,
              .tokens = {},
              .targets = {},
              .positions = {},
              .first_key = {}};
  Pass pass{.batch = batch, .stash = stash, .batch_share = 0.25};
  Tensor indices;
};

void expect_shares(const std::vector<double>& got, const std::vector<double>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], 1e-15) << i;
}

TEST(LoadBalance, CountsOverItsScope) {
  FourTokens tokens;
  const LoadBalance micro_batch(config_of(spec::AuxLossScope::micro_batch));
  expect_shares(tokens.shares(micro_batch, nullptr), {3. / 4, 0, 1. / 4});
  const LoadBalance sequence(config_of(spec::AuxLossScope::sequence));
  expect_shares(tokens.shares(sequence, nullptr), {1, 0, 0, 1. / 2, 0, 1. / 2});
  const LoadBalance global(config_of(spec::AuxLossScope::global_batch));
  expect_shares(tokens.shares(global, nullptr), {1, 0, 0, 3. / 4, 0, 1. / 4});
  RouterStats stats;
  stats.running_choices = {1, 3, 0};  // of two sequences before
  expect_shares(tokens.shares(global, &stats), {3. / 6, 3. / 6, 0, 4. / 8, 3. / 8, 1. / 8});
  EXPECT_EQ(stats.running_choices, (std::vector<std::int64_t>{4, 3, 1}));
}

TEST(LoadBalance, IsTheCoefficientAtPerfectBalance) {
  spec::ModelConfig config = config_of(spec::AuxLossScope::sequence);
  config.router_score = spec::RouterScore::sigmoid;
  FourTokens tokens;
  const LoadBalance balance(config);
  const Tensor scores =
      Tensor::empty(*tokens.backend, {4, kExperts}, DType::f64, MemoryKind::workspace);
  const Tensor weights =
      Tensor::empty(*tokens.backend, {2, kExperts}, DType::f64, MemoryKind::workspace);
  for (std::int64_t i = 0; i < 12; ++i)
    scores.data<double>()[i] = 0.8;  // any equal scores: shares are 1 / 3
  balance.fill_weights(tokens.indices, tokens.pass, nullptr, weights);
  EXPECT_NEAR(balance.loss(scores, weights), 0.25 * 0.5, 1e-15);
}

// Gradients of one step of 8 sequences, cut into micro-batches over ranks.
std::vector<double> step_gradients(const spec::ModelConfig& config,
                                   int num_ranks,
                                   int micro_batch_size) {
  constexpr int kSequences = 8;
  constexpr int kLength = 5;
  std::vector<std::vector<double>> sums;
  std::mutex mutex;
  tera::test::spawn_ranks(num_ranks, [&](comm::Communicator& world) {
    TinyModel tiny(config);
    const Batch whole = random_batch(*tiny.backend, kSequences, kLength, config.vocab_size, 83);
    const double scale = 1.0 / static_cast<double>(num_targets(whole));
    const int group = micro_batch_size * num_ranks;
    std::vector<RouterStats> stats(static_cast<std::size_t>(config.num_layers));
    for (int first = world.rank() * micro_batch_size; first < kSequences; first += group) {
      const int last = first + micro_batch_size;
      const Batch part{.batch_size = micro_batch_size,
                       .seq_length = kLength,
                       .tokens = whole.tokens.slice(0, kLength * first, kLength * last),
                       .targets = whole.targets.slice(0, kLength * first, kLength * last),
                       .positions = whole.positions.slice(0, kLength * first, kLength * last),
                       .first_key = whole.first_key.slice(0, first, last)};
      Stash stash(*tiny.backend);
      Pass pass{.batch = part,
                .stash = stash,
                .loss_scale = scale,
                .batch_share = static_cast<double>(micro_batch_size) / kSequences,
                .router_stats = &stats,
                .training = TrainingPlace{.seed = 1, .first_sequence = first, .replicas = &world}};
      tiny.model.forward(pass, true);
      tiny.model.backward(pass);
    }
    const std::scoped_lock lock(mutex);
    sums.resize(tiny.params.params().size());
    for (std::size_t p = 0; p < sums.size(); ++p) {
      const Tensor& grad = tiny.params.params()[p].grad;
      if (!grad.present()) continue;
      sums[p].resize(static_cast<std::size_t>(grad.num_elements()));
      for (std::size_t i = 0; i < sums[p].size(); ++i)
        sums[p][i] += grad.data<double>()[i];
    }
  });
  std::vector<double> all;
  for (const std::vector<double>& sum : sums)
    all.insert(all.end(), sum.begin(), sum.end());
  return all;
}

// Sums of 8 sequences in other orders: roundings of 1e-16 on gradients of order 1 to 10.
TEST(LoadBalance, OverSequencesAndTheGlobalBatchDoesNotDependOnTheCut) {
  for (const spec::AuxLossScope scope :
       {spec::AuxLossScope::sequence, spec::AuxLossScope::global_batch}) {
    spec::ModelConfig config = moe_config();
    config.aux_loss_coeff = 3;
    config.aux_loss_scope = scope;
    config.router_jitter = 0.1;
    const auto whole = step_gradients(config, 1, 8);
    for (const auto& [ranks, micro_batch] :
         {std::pair(1, 1), std::pair(1, 4), std::pair(2, 4), std::pair(2, 1), std::pair(4, 2)}) {
      EXPECT_LT(largest_difference(step_gradients(config, ranks, micro_batch), whole), 1e-12)
          << enum_name(scope) << ", " << ranks << " ranks, micro-batches of " << micro_batch;
    }
  }
}

TEST(LoadBalance, OverMicroBatchesDependsOnTheCut) {
  spec::ModelConfig config = moe_config();
  config.aux_loss_coeff = 3;
  EXPECT_GT(largest_difference(step_gradients(config, 1, 8), step_gradients(config, 1, 2)), 1e-3);
}

}  // namespace
}  // namespace tera::nn::test
