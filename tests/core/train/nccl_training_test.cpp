// Runs whose ranks NCCL connects, or a fake of it between threads: the same bits as without.
#include <gtest/gtest.h>

#include "core/base/thread_pool.h"
#include "core/comm/nccl.h"
#include "core/tensor/cpu_backend.h"
#include "tests/core/comm/fake_nccl.h"
#include "tests/core/train/layout_fixture.h"

namespace tera::train {
namespace {

using enum spec::ScheduleKind;

class NcclTraining : public test::LayoutTest {
 protected:
  spec::RunSpec spec_of(const test::LayoutCase& layout) const {
    spec::RunSpec spec = small_spec();
    spec.model.num_layers = 3;
    layout.apply_to(spec);
    return spec;
  }

  // On one thread each, as LayoutTest::train() is by its processes.
  Trained train_over(const tera::test::Worlds& worlds, const spec::RunSpec& spec) const {
    const run::RunDirectory dir = create(spec);
    tera::test::spawn_ranks(worlds, [&](comm::Communicator& world) {
      ThreadPool pool(1);
      const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
      const Result<TrainEnd> end = train::train(dir, spec, world, *backend, {});
      if (!end) throw std::runtime_error(end.error().message);
    });
    return trained(dir);
  }

  void expect_same_bits(const Trained& got, const Trained& expected) {
    ASSERT_EQ(got.records.size(), expected.records.size());
    for (const auto& [step, record] : expected.records)
      expect_equal_values(got.records.at(step), record, {"loss", "grad_norm", "eval_loss"});
    EXPECT_EQ(got.tensors, expected.tensors);
  }
};

// NCCL's own sums have no order, but for those that it may make.
TEST_F(NcclTraining, EveryAxisGivesTheBitsOfThreads) {
  const std::vector<test::LayoutCase> layouts = {
      {},
      {.dp = 2, .zero = 1},
      {.dp = 3},
      {.dp = 4, .zero = 3},
      {.tp = 2},
      {.cp = 2},
      {.dp = 2, .ep = 2},
      {.pp = 3},
      {.tp = 2, .dp = 2, .ep = 4, .zero = 2},
      {.dp = 2, .pp = 2, .zero = 1, .schedule = zb_v},
  };
  for (const test::LayoutCase& layout : layouts) {
    SCOPED_TRACE(layout.name());
    spec::RunSpec spec = spec_of(layout);
    if (layout.dp == 3) spec.training.global_batch_size = 12;
    comm::test::FakeNccl fake;
    const auto worlds =
        comm::test::make_fake_worlds(fake, static_cast<int>(spec.layout.world_size()), 120);
    expect_same_bits(train_over(worlds, spec), train(spec));
  }
}

// Sums over the ranks, its own alone, pass through the GPU.
TEST_F(NcclTraining, OneRankTrainsWhereThereIsAGpu) {
  Result<std::unique_ptr<comm::NcclDevice>> device = comm::make_nccl_device(0);
  if (!device) GTEST_SKIP() << device.error().message;
  auto world =
      comm::make_nccl_communicator(std::move(*device), std::make_unique<comm::MemoryStore>(), {});
  ASSERT_TRUE(world) << world.error().message;
  tera::test::Worlds worlds;
  worlds.push_back(std::move(*world));
  const spec::RunSpec spec = spec_of({.zero = 1});
  expect_same_bits(train_over(worlds, spec), train(spec));
}

}  // namespace
}  // namespace tera::train
