// A model whose heads, columns and words ranks share out computes what one rank does.
#include "core/nn/tensor_parallel.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/comm/mesh_groups.h"
#include "core/plan/rank_mesh.h"
#include "tests/core/nn/tiny_model.h"
#include "tests/support/distance.h"
#include "tests/support/spawn_ranks.h"

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
  Trained(Backend& backend, ParamStore& params, const spec::ModelConfig& config) {
    init_params(params, config, 7);
    for (const Param& param : params.params())
      perturb(param);
    Model model(config, params);
    const Batch batch = random_batch(backend, 2, 8, config.vocab_size, 11);
    const double scale = 1.0 / static_cast<double>(num_targets(batch));
    Stash stash(backend);
    PredictionStats prediction;
    Pass pass{.batch = batch, .stash = stash, .loss_scale = scale, .prediction_stats = &prediction};
    loss = model.forward(pass, true) + prediction.loss_sum;
    num_predictions = prediction.num_targets;
    model.backward(pass);
    params.settle_grads();
    const TensorGroup tensor_ranks(params);
    for (Param& param : params.params()) {
      if (param.trained) sum_shared_gradient(param, tensor_ranks);
    }
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
  const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);

  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool);
  ParamStore whole(*backend, plan::make_param_table(config), {.compute = DType::f64});
  const Trained expected(*backend, whole, config);

  const int num_ranks = split.ranks;
  const bool sequence_parallel = split.sequence_parallel;
  tera::test::spawn_ranks(num_ranks, [&](comm::Communicator& world) {
    ThreadPool own_pool(1);
    const auto own_backend = make_cpu_backend(own_pool);
    comm::MeshGroups groups(mesh, world);
    ParamStore part(*own_backend, plan::local_table(spec, mesh, world.rank()),
                    {.compute = DType::f64,
                     .parallel = {.groups = &groups, .sequence_parallel = sequence_parallel}});
    const Trained trained(*own_backend, part, config);
    EXPECT_NEAR(trained.loss, expected.loss, 1e-12 * expected.loss);
    EXPECT_EQ(trained.num_predictions, expected.num_predictions);
    for (const Param& param : part.params()) {
      if (!param.trained) continue;
      const std::vector<double> want =
          part_of(values_of(whole.get(param.spec.name).grad), param.slice);
      EXPECT_LT(tera::test::relative_distance(values_of(param.grad), want), 1e-11)
          << param.spec.name << " on rank " << world.rank();
    }
  });
}

std::vector<NamedConfig> dense_configs() {
  std::vector<NamedConfig> dense;
  for (NamedConfig& named : all_configs()) {
    if (named.config.num_experts > 0 || named.config.qk_norm == spec::QkNormKind::full) continue;
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
