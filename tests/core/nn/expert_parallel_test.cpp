// Ranks that share out experts compute, micro-batch by micro-batch, what one rank does.
#include "core/nn/expert_parallel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/core/nn/split_model.h"

namespace tera::nn::test {
namespace {

struct Shape {
  int tensor;
  int data;
  int expert;
  int expert_tensor;
  double load;  // rows of a buffer, over an even load
  spec::RecomputeKind recompute = spec::RecomputeKind::none;
  spec::ExpertDispatcher dispatcher = spec::ExpertDispatcher::all_to_all;
};

class ExpertParallelModel : public testing::TestWithParam<std::tuple<NamedConfig, Shape>> {};

struct Losses {
  double tokens = 0;
  double balance = 0;
  double z = 0;
  std::vector<std::int64_t> chosen;  // tokens of each expert, layers one behind the other
};

// One step over `num` micro-batches, of which this model computes [first, last).
struct Trainee {
  const spec::ModelConfig& config;
  int num = 1;
  comm::Communicator* replicas = nullptr;
  spec::RecomputeKind recompute = spec::RecomputeKind::none;

  Losses run(SplitModel& split, int first, int last) const {
    Backend& backend = *split.backend;
    init_params(split.params, config, 7);
    Model model(config, split.params);
    Losses losses;
    std::vector<RouterStats> stats(static_cast<std::size_t>(config.num_all_layers()));
    PredictionStats prediction;
    for (int i = first; i < last; ++i) {
      const Batch batch =
          random_batch(backend, 2, 8, config.vocab_size, 11 + static_cast<std::uint64_t>(i));
      Stash stash(backend);
      Pass pass{.batch = batch,
                .stash = stash,
                .loss_scale = 1.0 / (num * double{13}),
                .batch_share = 1.0 / num,
                .router_stats = &stats,
                .prediction_stats = &prediction,
                .training = TrainingPlace{.seed = 3,
                                          .step = 5,
                                          .first_sequence = 2 * std::int64_t{i},
                                          .replicas = replicas},
                .recompute = recompute};
      losses.tokens += model.forward(pass, true);
      model.backward(pass);
      EXPECT_TRUE(stash.entries().empty()) << stash.entries().begin()->first;
    }
    split.finish_gradients();
    for (const RouterStats& layer : stats) {
      losses.balance += layer.balance_loss;
      losses.z += layer.z_loss;
      losses.chosen.insert(losses.chosen.end(), layer.expert_tokens.begin(),
                           layer.expert_tokens.end());
    }
    return losses;
  }
};

double summed(comm::Communicator& ranks, Backend& backend, double value) {
  Tensor sum = Tensor::zeros(backend, {1}, DType::f64, MemoryKind::workspace);
  *sum.data<double>() = value;
  ranks.all_reduce(sum, comm::Reduce::sum);
  return *sum.data<double>();
}

TEST_P(ExpertParallelModel, ComputesWhatOneRankDoes) {
  const auto& [named, shape] = GetParam();
  const spec::ModelConfig config = named.config;
  spec::RunSpec spec;
  spec.model = config;
  spec.layout.tensor_parallel_size = shape.tensor;
  spec.layout.data_parallel_size = shape.data;
  spec.layout.expert_parallel_size = shape.expert;
  spec.layout.expert_tensor_parallel_size = shape.expert_tensor;
  spec.layout.sequence_parallel = shape.tensor > 1;
  spec.layout.expert_dispatcher = shape.dispatcher;
  SplitModel whole(config);
  const Losses expected = Trainee{config, shape.data}.run(whole, 0, shape.data);

  const Shape sizes = shape;
  tera::test::spawn_ranks(
      static_cast<int>(spec.layout.world_size()), [&](comm::Communicator& world) {
        SplitModel part(spec, world, sizes.load);
        comm::Communicator& replicas = (*part.groups)[plan::Axis::data];
        const int replica = replicas.rank();
        const Losses losses =
            Trainee{config, sizes.data, &replicas, sizes.recompute}.run(part, replica, replica + 1);
        const auto over = [&](double value) { return summed(world, *part.backend, value); };
        // Tensor ranks have the loss of their tokens' words together, of routers that of their own.
        EXPECT_NEAR(over(losses.tokens), expected.tokens * sizes.tensor,
                    1e-12 * expected.tokens * 8);
        EXPECT_NEAR(over(losses.balance), expected.balance, 1e-12);
        EXPECT_NEAR(over(losses.z), expected.z, 1e-12);
        ASSERT_EQ(losses.chosen.size(), expected.chosen.size());
        for (std::size_t i = 0; i < expected.chosen.size(); ++i) {
          EXPECT_EQ(over(static_cast<double>(losses.chosen[i])),
                    static_cast<double>(expected.chosen[i]));
        }
        expect_gradients_of(whole, part);
      });
}

// With as many experts as ranks can share out evenly, one head each.
std::vector<NamedConfig> expert_configs() {
  std::vector<NamedConfig> with_experts;
  for (NamedConfig& named : all_and_training_configs()) {
    if (named.config.num_experts == 0) continue;
    named.config.num_experts = 8;
    if (named.config.router_num_groups > 1) named.config.router_num_groups = 4;
    with_experts.push_back(std::move(named));
  }
  return with_experts;
}

Shape gathered(Shape shape) {
  shape.dispatcher = spec::ExpertDispatcher::all_gather;
  return shape;
}

std::string shape_name(const Shape& shape) {
  std::string name = fmt::format("tp{}_dp{}_ep{}_etp{}_load{}", shape.tensor, shape.data,
                                 shape.expert, shape.expert_tensor, static_cast<int>(shape.load));
  if (shape.recompute != spec::RecomputeKind::none)
    name += shape.recompute == spec::RecomputeKind::full ? "_full" : "_selective";
  if (shape.dispatcher == spec::ExpertDispatcher::all_gather) name += "_gathered";
  return name;
}

INSTANTIATE_TEST_SUITE_P(Routers,
                         ExpertParallelModel,
                         testing::Combine(testing::ValuesIn(expert_configs()),
                                          testing::Values(Shape{1, 2, 2, 1, 8},
                                                          Shape{1, 2, 2, 1, 1},
                                                          Shape{1, 2, 1, 2, 1},
                                                          Shape{2, 1, 1, 1, 8},
                                                          Shape{2, 1, 2, 1, 1},
                                                          Shape{2, 2, 2, 2, 1},
                                                          gathered({1, 2, 2, 1, 1}),
                                                          gathered({2, 2, 2, 2, 1}))),
                         [](const auto& named) {
                           return fmt::format("{}_over_{}", std::get<0>(named.param).name,
                                              shape_name(std::get<1>(named.param)));
                         });

INSTANTIATE_TEST_SUITE_P(
    Layouts,
    ExpertParallelModel,
    testing::Combine(testing::Values(NamedConfig{"moe", expert_configs().front().config}),
                     testing::Values(Shape{1, 4, 2, 1, 0.25},
                                     Shape{1, 4, 2, 2, 0.25},
                                     Shape{4, 1, 2, 1, 1},
                                     Shape{4, 2, 8, 1, 1},
                                     Shape{1, 2, 2, 1, 0.25, spec::RecomputeKind::selective},
                                     Shape{1, 2, 2, 1, 0.25, spec::RecomputeKind::full},
                                     gathered({1, 2, 1, 2, 1}),
                                     gathered({4, 2, 8, 1, 1}),
                                     gathered({1, 4, 2, 2, 0.25}),
                                     gathered({1, 2, 2, 1, 0.25, spec::RecomputeKind::selective}),
                                     gathered({1, 2, 2, 1, 0.25, spec::RecomputeKind::full}))),
    [](const auto& named) { return "moe_over_" + shape_name(std::get<1>(named.param)); });

}  // namespace
}  // namespace tera::nn::test
