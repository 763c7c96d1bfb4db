#include "tests/core/train/planned_ranks.h"

namespace tera::train {
namespace {

TEST(PlannedRanks, OfRandomSpecsAndLayouts) {
  test::expect_random_pairs_as_planned(std::random_device()(), 24);
}

// Experts that serve as many rows as any other: what is planned before anybody has routed.
TEST(PlannedRanks, TrafficOfEvenLoadsNeedsNoCounts) {
  const auto serves_evenly = [](const spec::RunSpec& spec) {
    const bool exchanges =
        spec.layout.expert_parallel_size * spec.layout.expert_tensor_parallel_size > 1;
    const bool alone = spec.layout.tensor_parallel_size * spec.layout.context_parallel_size == 1;
    return exchanges && alone &&
           (spec.model.router_choice == spec::RouterChoice::expert || spec.model.capacity_pad);
  };
  std::mt19937 random(7);
  for (int found = 0; found < 3;) {
    const spec::RunSpec spec = test::random_run(4, random);
    if (!serves_evenly(spec)) continue;
    ++found;
    const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
    tera::test::spawn_ranks(mesh.world_size(), [&](comm::Communicator& world) {
      ThreadPool pool(1);
      const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
      SyntheticTrainer trainer(spec, *backend, &world);
      trainer.step();
      const test::Messages before = test::counted_messages(world.traffic());
      trainer.step();
      EXPECT_EQ(test::difference(test::counted_messages(world.traffic()), before),
                test::planned_messages(plan::step_traffic(spec, mesh, world.rank())))
          << test::layout_text(spec);
    });
  }
}

}  // namespace
}  // namespace tera::train
