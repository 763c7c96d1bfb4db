// A model of whose sequences ranks have parts computes what one rank does.
#include "core/nn/context_parallel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/comm/mesh_groups.h"
#include "core/plan/rank_mesh.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"
#include "tests/support/spawn_ranks.h"

namespace tera::nn::test {
namespace {

constexpr int kSequences = 2;
constexpr int kLength = 16;

std::vector<std::int64_t> places(const ContextShare& share, std::int64_t length) {
  std::vector<std::int64_t> found;
  for (std::int64_t i = 0; i < length / share.num_ranks(); ++i)
    found.push_back(share.place(i, length));
  return found;
}

TEST(ContextShare, OfARingIsAPieceOfTheFrontAndOneOfTheBack) {
  using enum spec::ContextMethod;
  EXPECT_EQ(places({ring, 0, 2}, 8), (std::vector<std::int64_t>{0, 1, 6, 7}));
  EXPECT_EQ(places({ring, 1, 2}, 8), (std::vector<std::int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(places({ulysses, 1, 2}, 8), (std::vector<std::int64_t>{4, 5, 6, 7}));
  EXPECT_EQ(places({}, 3), (std::vector<std::int64_t>{0, 1, 2}));
}

TEST(ContextShare, HasEachTokenOnceAndCountsThem) {
  for (const spec::ContextMethod method : {spec::ContextMethod::ring, spec::ContextMethod::ulysses})
    for (const int ranks : {1, 2, 4}) {
      std::vector<int> seen(kLength);
      for (int rank = 0; rank < ranks; ++rank) {
        const ContextShare share(method, rank, ranks);
        for (const std::int64_t place : places(share, kLength)) {
          EXPECT_EQ(share.place(share.count_before(place, kLength), kLength), place);
          ++seen[static_cast<std::size_t>(place)];
        }
        EXPECT_EQ(share.count_before(0, kLength), 0);
        EXPECT_EQ(share.count_before(kLength, kLength), kLength / ranks);
      }
      EXPECT_EQ(seen, std::vector<int>(kLength, 1));
    }
}

// Loss and gradients of a batch, weights from the seed, in f64: what is left is the order of sums.
struct Trained {
  Trained(Backend& backend, ParamStore& params, const spec::ModelConfig& config) {
    init_params(params, config, 7);
    Batch documents = random_batch(backend, kSequences, kLength, config.vocab_size, 11);
    train(documents, config, params);
    backend.ops().zero(backend.context(), documents.first_key);
    train(documents, config, params);  // as one
    params.settle_grads();
  }

  void train(const Batch& documents, const spec::ModelConfig& config, ParamStore& params) {
    Model model(config, params);
    const auto whole = std::make_shared<const Batch>(documents);
    const Batch batch = nn::part_of(whole, ContextGroup(params).share());
    Stash stash(params.backend());
    PredictionStats prediction;
    std::vector<RouterStats> stats(static_cast<std::size_t>(config.num_all_layers()));
    Pass pass{.batch = batch,
              .stash = stash,
              .loss_scale = 1.0 / static_cast<double>(num_targets(*whole)),
              .router_stats = &stats,
              .prediction_stats = &prediction,
              .training = TrainingPlace{.seed = 5, .step = 3, .first_sequence = 4}};
    sums.push_back(model.forward(pass, true) + prediction.loss_sum);
    sums.push_back(static_cast<double>(prediction.num_targets));
    model.backward(pass);
    for (const RouterStats& layer : stats) {
      sums.insert(sums.end(), {layer.balance_loss, layer.z_loss, static_cast<double>(layer.dropped),
                               static_cast<double>(layer.offered)});
      for (const std::int64_t count : layer.expert_tokens)
        sums.push_back(static_cast<double>(count));
    }
  }
  std::vector<double> sums;  // of losses and counts
};

Tensor all_reduced(Tensor x, comm::Communicator& ranks) {
  ranks.all_reduce(x, comm::Reduce::sum);
  return x;
}

class ContextParallelModel
    : public testing::TestWithParam<std::tuple<NamedConfig, spec::ContextMethod, int>> {};

TEST_P(ContextParallelModel, ComputesWhatOneRankDoes) {
  const auto& [named, method, num_ranks] = GetParam();
  const spec::ModelConfig config = named.config;
  spec::RunSpec spec;
  spec.model = config;
  spec.layout.context_parallel_size = num_ranks;
  spec.layout.context_parallel_method = method;
  const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);

  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool);
  ParamStore whole(*backend, plan::make_param_table(config), {.compute = DType::f64});
  const Trained expected(*backend, whole, config);

  tera::test::spawn_ranks(num_ranks, [&](comm::Communicator& world) {
    ThreadPool own_pool(1);
    const auto own_backend = make_cpu_backend(own_pool);
    comm::MeshGroups groups(mesh, world);
    ParamStore part(
        *own_backend, plan::local_table(spec, mesh, world.rank()),
        {.compute = DType::f64,
         .parallel = {.groups = &groups, .context_method = spec.layout.context_parallel_method}});
    const Trained trained(*own_backend, part, config);
    const Tensor sums =
        Tensor::empty(*own_backend, {std::ssize(trained.sums)}, DType::f64, MemoryKind::workspace);
    std::copy(trained.sums.begin(), trained.sums.end(), sums.data<double>());
    const std::vector<double> got = values_of(all_reduced(sums, groups[plan::Axis::context]));
    EXPECT_LT(tera::test::relative_distance(got, expected.sums), 1e-12);
    for (Param& param : part.params()) {
      if (!param.trained) continue;
      const std::vector<double> want =
          test::part_of(values_of(whole.get(param.spec.name).grad), param.slice);
      const std::vector<double> found =
          values_of(all_reduced(param.grad, groups.replicas(param.spec.is_expert())));
      EXPECT_LT(tera::test::relative_distance(found, want), 1e-11)
          << param.spec.name << " on rank " << world.rank();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(,
                         ContextParallelModel,
                         testing::Combine(testing::ValuesIn(all_and_training_configs()),
                                          testing::Values(spec::ContextMethod::ring,
                                                          spec::ContextMethod::ulysses),
                                          testing::Values(2, 4)),
                         [](const auto& named) {
                           return fmt::format("{}_{}_over_{}", std::get<0>(named.param).name,
                                              enum_name(std::get<1>(named.param)),
                                              std::get<2>(named.param));
                         });

}  // namespace
}  // namespace tera::nn::test
