// Every optimizer updates the parts that ranks hold as it updates whole tensors, bit for bit; where
// its rule needs more than a part, the check says so.
#include <mutex>

#include "core/base/rng.h"
#include "core/base/thread_pool.h"
#include "core/comm/mesh_groups.h"
#include "core/spec/validate.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/grad_sync.h"
#include "core/train/optimizer.h"
#include "tests/core/train/layout_fixture.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train {
namespace {

using test::LayoutCase;
using Weights = std::map<std::string, std::vector<std::byte>>;

// A gradient that depends on tensor, step and place in the whole tensor alone.
void fill_gradient(nn::Param& param, int step) {
  const Philox random(5, RngPurpose::test, name_hash(param.spec.name));
  auto* to = param.gradient().data<float>();
  param.slice.for_each([&](std::int64_t global, std::int64_t local, std::int64_t count, bool) {
    for (std::int64_t i = 0; i < count; ++i) {
      to[local + i] = static_cast<float>(
          random.uniform(static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(global + i)) -
          0.5);
    }
  });
}

// All weights after three updates, put together from the parts of all ranks.
Weights updated(const spec::RunSpec& spec) {
  const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
  std::mutex mutex;
  Weights whole;
  std::map<std::string, std::vector<bool>> seen;
  tera::test::spawn_ranks(mesh.world_size(), [&](comm::Communicator& world) {
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    comm::MeshGroups groups(mesh, world);
    nn::ParamStore params = make_param_store(*backend, spec, groups);
    nn::init_params(params, spec.model, spec.seed);
    Optimizer optimizer(params, spec);
    for (int step = 0; step < 3; ++step) {
      for (nn::Param& param : params.params()) {
        if (param.trained) fill_gradient(param, step);
      }
      optimizer.step(1e-2, 0.5);
      params.zero_grads();
    }
    const std::scoped_lock lock(mutex);
    for (const nn::Param& param : params.params()) {
      const auto width = static_cast<std::size_t>(dtype_bytes(param.value.dtype()));
      const auto elements = static_cast<std::size_t>(param.spec.num_elements());
      whole[param.spec.name].resize(elements * width);
      seen[param.spec.name].resize(elements);
      const auto* from = param.value.data<const std::byte>();
      param.slice.for_each([&](std::int64_t global, std::int64_t local, std::int64_t count, bool) {
        for (std::int64_t i = 0; i < count; ++i) {
          const auto at = static_cast<std::size_t>(global + i);
          std::byte* to = whole[param.spec.name].data() + at * width;
          const std::byte* mine = from + static_cast<std::size_t>(local + i) * width;
          if (seen[param.spec.name][at]) {
            EXPECT_EQ(std::memcmp(to, mine, width), 0) << "copies of " << param.spec.name;
          }
          std::memcpy(to, mine, width);
          seen[param.spec.name][at] = true;
        }
      });
    }
  });
  for (const auto& [name, elements] : seen)
    EXPECT_EQ(std::count(elements.begin(), elements.end(), false), 0) << name;
  return whole;
}

class LayoutOptimizers : public test::LayoutTest {};

TEST_F(LayoutOptimizers, UpdatePartsAsTheWhole) {
  const std::vector<LayoutCase> layouts = {{.tp = 2},
                                           {.dp = 2, .ep = 2},
                                           {.dp = 4, .ep = 4},
                                           {.dp = 2, .etp = 2},
                                           {.tp = 2, .ep = 2},
                                           {.tp = 2, .dp = 2, .ep = 2, .etp = 2},
                                           {.dp = 2, .ep = 2, .pp = 2}};
  for (const auto precision : {spec::Precision::fp32, spec::Precision::bf16,
                               spec::Precision::bf16_stochastic, spec::Precision::fp16}) {
    for (std::size_t kind = 0; kind < EnumNames<spec::OptimizerKind>::value.size(); ++kind) {
      spec::RunSpec spec = small_spec();
      spec.model.num_shared_experts = 1;
      spec.model.num_dense_layers = 1;
      spec.model.ffn_hidden_size = 48;
      spec.training.ema_decay = 0.9;
      spec.training.precision = precision;
      spec.training.optimizer = static_cast<spec::OptimizerKind>(kind);
      const bool whole_matrices = spec.training.optimizer == spec::OptimizerKind::muon ||
                                  spec.training.optimizer == spec::OptimizerKind::adafactor;
      const Weights expected = updated(spec);
      for (const LayoutCase& layout : layouts) {
        SCOPED_TRACE(testing::Message() << enum_name(spec.training.optimizer) << ", "
                                        << enum_name(precision) << ", " << layout.name());
        spec::RunSpec split = spec;
        layout.apply_to(split);
        const bool legal = spec::validate_for_engine(split).empty();
        EXPECT_EQ(legal, !whole_matrices || (layout.tp == 1 && layout.etp == 1));
        if (!legal) continue;
        EXPECT_EQ(updated(split), expected);
      }
    }
  }
}

// The same through a whole run, which learns.
TEST_F(LayoutOptimizers, OfWholeMatricesLearnBesideExpertRanks) {
  for (const auto& [kind, rate] : {std::pair(spec::OptimizerKind::muon, 1e-2),
                                   std::pair(spec::OptimizerKind::adafactor, 1e-1)}) {
    SCOPED_TRACE(std::string(enum_name(kind)));
    spec::RunSpec spec = small_spec();
    spec.training.optimizer = kind;
    spec.training.learning_rate = rate;
    const run::RunDirectory one = create(spec);
    run(one);
    LayoutCase{.dp = 2, .ep = 2}.apply_to(spec);
    const run::RunDirectory two = create(spec);
    run(two);
    const Records expected = records(one);
    const Records got = records(two);
    EXPECT_NEAR(value_of(got.at(1), "loss"), value_of(expected.at(1), "loss"), 1e-6);
    EXPECT_LT(value_of(got.at(12), "loss"), value_of(got.at(1), "loss") - 0.3);
    EXPECT_NEAR(value_of(got.at(12), "loss"), value_of(expected.at(12), "loss"),
                0.1 * (value_of(got.at(1), "loss") - value_of(got.at(12), "loss")));
  }
}

}  // namespace
}  // namespace tera::train
