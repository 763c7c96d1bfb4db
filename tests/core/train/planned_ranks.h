// Plan equals reality on every rank of a layout: bytes of weights, gradients, optimizer and stash,
// and messages by axis and operation. Where these depend on which experts tokens went to, the plan
// is of the rows that went there.
#pragma once
#include <map>
#include <random>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "core/base/thread_pool.h"
#include "core/plan/estimate.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/synthetic.h"
#include "tests/core/train/random_specs.h"
#include "tests/core/train/recorded_exchanges.h"

namespace tera::train::test {

// By axis, ranks and operation: "tensor x 2 all_gather" -> "12 calls, 6144 B".
using Messages = std::map<std::string, std::pair<std::int64_t, std::int64_t>>;

inline std::string key_of(std::string_view axis, int ranks, std::string_view kind) {
  return fmt::format("{} x {} {}", axis, ranks, kind);
}

inline Messages planned_messages(const std::vector<plan::PlannedMessages>& planned) {
  Messages messages;
  for (const plan::PlannedMessages& of : planned)
    messages[key_of(of.axis, of.ranks, enum_name(of.kind))] = {of.calls, of.bytes};
  return messages;
}

// Between several ranks.
inline Messages counted_messages(const comm::Traffic& traffic) {
  Messages messages;
  for (const comm::TrafficCount& of : traffic.counts()) {
    if (of.ranks > 1 && of.kind != comm::OperationKind::split)
      messages[key_of(of.axis, of.ranks, enum_name(of.kind))] = {of.calls, of.bytes};
  }
  return messages;
}

inline Messages difference(const Messages& after, const Messages& before) {
  Messages messages;
  for (const auto& [key, sum] : after) {
    const auto found = before.find(key);
    const auto [calls, bytes] =
        found == before.end() ? std::pair<std::int64_t, std::int64_t>{} : found->second;
    if (sum.first > calls) messages[key] = {sum.first - calls, sum.second - bytes};
  }
  return messages;
}

// Two steps, so that every kind of bytes has been at its peak; messages are those of the second.
inline void expect_ranks_as_planned(const spec::RunSpec& spec, const std::string& pair) {
  const plan::RankMesh mesh = *plan::RankMesh::make(spec.layout);
  std::vector<Exchanges> exchanges(static_cast<std::size_t>(mesh.world_size()));
  std::vector<tera::test::Watch> watches;
  for (Exchanges& of_rank : exchanges)
    watches.push_back(recording(of_rank));
  const tera::test::Worlds worlds = tera::test::watched_worlds(watches);
  tera::test::spawn_ranks(worlds, [&](comm::Communicator& world) {
    const plan::EngineBytes planned = plan::engine_bytes(spec, mesh, world.rank());
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    SyntheticTrainer trainer(spec, *backend, &world);
    trainer.step();
    Exchanges& recorded = exchanges[static_cast<std::size_t>(world.rank())];
    recorded.clear();
    const Messages before = counted_messages(world.traffic());
    trainer.step();
    const auto peak = [&](MemoryKind kind) { return backend->counter(kind).peak_bytes; };
    const std::string rank = mesh.describe(world.rank()) + ", " + pair;
    EXPECT_EQ(peak(MemoryKind::weights), planned.weights) << rank;
    EXPECT_EQ(peak(MemoryKind::gradients), planned.gradients) << rank;
    EXPECT_EQ(peak(MemoryKind::optimizer), planned.optimizer) << rank;
    // Of micro-batches in turns the plan is of a forward that is whole before the backward beside
    // it gives anything back.
    if (spec.overlaps_experts()) {
      EXPECT_LE(peak(MemoryKind::activations), planned.activations) << rank;
    } else {
      EXPECT_EQ(peak(MemoryKind::activations), planned.activations) << rank;
    }
    EXPECT_EQ(backend->counter(MemoryKind::activations).live_bytes, 0) << rank;

    const bool again = spec.layout.recompute == spec::RecomputeKind::full;
    EXPECT_EQ(difference(counted_messages(world.traffic()), before),
              planned_messages(plan::step_traffic(spec, mesh, world.rank(),
                                                  without_recomputed(recorded, again))))
        << rank;
  });
}

// Draws pairs from `seed` on, over up to 8 ranks, up to the first that differs.
inline void expect_random_pairs_as_planned(unsigned seed, unsigned pairs) {
  for (unsigned drawn = 0; drawn < pairs; ++drawn) {
    std::mt19937 random(seed + drawn);
    const spec::RunSpec spec = random_run(8, random);
    expect_ranks_as_planned(spec, fmt::format("seed {}: {}", seed + drawn, layout_text(spec)));
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace tera::train::test
