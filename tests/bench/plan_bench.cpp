// How long an estimate takes, and what it consists of; not a test. ninja plan_bench.
#include <string>

#include <benchmark/benchmark.h>

#include "core/comm/mesh_groups.h"
#include "core/plan/estimate.h"
#include "core/plan/layout_bounds.h"
#include "core/plan/schedule_check.h"
#include "core/plan/schedule_messages.h"
#include "core/plan/schedule_simulator.h"
#include "core/plan/search.h"
#include "core/spec/presets.h"
#include "tests/bench/peak_allocation.h"

namespace tera::plan {
namespace {

void estimate_preset(benchmark::State& state, const std::string& name) {
  const spec::RunSpec spec = spec::run_preset(name).value().spec;
  for (auto _ : state)
    benchmark::DoNotOptimize(estimate(spec));
}

void memory_of_preset(benchmark::State& state, const std::string& name) {
  const spec::RunSpec spec = spec::run_preset(name).value().spec;
  const RankMesh mesh = RankMesh::make(spec.layout).value();
  for (auto _ : state)
    benchmark::DoNotOptimize(plan_memory(spec, mesh, make_schedule(spec)));
}

#define TERA_PRESET_BENCH(name, preset)                                            \
  BENCHMARK_CAPTURE(estimate_preset, name, preset)->Unit(benchmark::kMicrosecond); \
  BENCHMARK_CAPTURE(memory_of_preset, name, preset)->Unit(benchmark::kMicrosecond)
TERA_PRESET_BENCH(moe_1t, "moe-1t");
TERA_PRESET_BENCH(switch_1600b, "switch-1.6t");
TERA_PRESET_BENCH(deepseek_v3, "deepseek-v3");

// What a rank of 16,384 knows of its place before it trains: the mesh, its groups, the schedule,
// the actions of its stage, and its messages with the stages beside it.
struct RankPlace {
  RankMesh mesh;
  std::vector<comm::MeshGroup> groups;
  PipelineSchedule schedule;
  std::vector<PipelineAction> actions;
  std::vector<std::vector<StageMessage>> messages;
};

Result<RankPlace> place_of(const spec::RunSpec& spec, int rank) {
  TERA_TRY(const RankMesh mesh, RankMesh::make(spec.layout));
  RankPlace place{mesh, comm::mesh_groups(mesh, rank), make_schedule(spec), {}, {}};
  TERA_TRY_VOID(check_schedule(place.schedule));
  const int stage = mesh.coordinate(rank, Axis::pipeline);
  place.actions = actions_of(place.schedule.stages[static_cast<std::size_t>(stage)]);
  for (const int peer : {stage - 1, stage + 1}) {
    if (peer < 0 || peer == place.schedule.shape.num_stages) continue;
    place.messages.push_back(messages_between(place.schedule, peer, stage));
    place.messages.push_back(messages_between(place.schedule, stage, peer));
  }
  return place;
}

// peak_bytes: allocated at the same time, of the rank that takes most.
void place_of_rank(benchmark::State& state) {
  const spec::RunSpec spec = spec::run_preset("moe-1t").value().spec;
  const auto world = static_cast<int>(spec.layout.world_size());
  constexpr int kStride = 7919;  // a prime, so that all have their turn
  int rank = 0;
  for (auto _ : state) {
    rank = (rank + kStride) % world;
    benchmark::DoNotOptimize(place_of(spec, rank).value());
  }
  std::int64_t most = 0;
  for (int i = 0; i < 1000; ++i) {
    const bench::PeakAllocation peak;
    benchmark::DoNotOptimize(place_of(spec, i * kStride % world).value());
    most = std::max(most, peak.bytes());
  }
  state.counters["ranks"] = world;
  state.counters["peak_bytes"] = static_cast<double>(most);
}
BENCHMARK(place_of_rank)->Unit(benchmark::kMicrosecond);

// The trillion parameters of moe-1t on 16,384 GPUs: 32 stages, of two chunks where the kind has
// two.
void estimate_kind(benchmark::State& state, spec::ScheduleKind kind, int chunks) {
  spec::RunSpec spec = spec::run_preset("moe-1t").value().spec;
  spec.model.num_layers = 64;
  spec.layout.schedule = kind;
  spec.layout.virtual_stages = chunks;
  for (auto _ : state)
    benchmark::DoNotOptimize(estimate(spec));
}

void play_kind(benchmark::State& state, spec::ScheduleKind kind, int chunks) {
  const PipelineSchedule schedule =
      make_schedule(kind, {.num_stages = 32, .num_chunks = chunks, .num_micro_batches = 1 << 20});
  const auto links = static_cast<std::size_t>(schedule.shape.num_links());
  const ScheduleTimes times{.links = std::vector<LinkSeconds>(links, {1, 1.1, 0.9}),
                            .send_s = std::vector<double>(links - 1, 0.01)};
  for (auto _ : state)
    benchmark::DoNotOptimize(play(schedule, times));
}

#define TERA_SCHEDULE_BENCH(name, kind, chunks)                                        \
  BENCHMARK_CAPTURE(estimate_kind, name, kind, chunks)->Unit(benchmark::kMicrosecond); \
  BENCHMARK_CAPTURE(play_kind, name, kind, chunks)->Unit(benchmark::kMicrosecond)
TERA_SCHEDULE_BENCH(gpipe, spec::ScheduleKind::gpipe, 1);
TERA_SCHEDULE_BENCH(one_f_one_b, spec::ScheduleKind::one_f_one_b, 1);
TERA_SCHEDULE_BENCH(interleaved, spec::ScheduleKind::interleaved, 2);
TERA_SCHEDULE_BENCH(zb_h1, spec::ScheduleKind::zb_h1, 1);
TERA_SCHEDULE_BENCH(zb_v, spec::ScheduleKind::zb_v, 2);
TERA_SCHEDULE_BENCH(dualpipe_v, spec::ScheduleKind::dualpipe_v, 2);

// Layouts a second that a search compares in closed form.
void closed_form(benchmark::State& state, const std::string& name) {
  const SearchSpace space(spec::run_preset(name).value().spec, FixedAxes{});
  LayoutBounds bounds(space);
  const std::vector<LayoutFamily> families = layout_families(space);
  std::size_t next = 0;
  std::int64_t count = 0;
  double sum = 0;
  for (auto _ : state) {
    next = (next + 37) % families.size();
    bounds.visit(families[next], [&](const spec::ParallelLayout&, const LayoutBound& staying,
                                     const LayoutBound& offloaded) {
      ++count;
      sum += staying.step_s + staying.memory_bytes + offloaded.memory_bytes;
    });
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(count);
}
BENCHMARK_CAPTURE(closed_form, moe_1t, "moe-1t")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(closed_form, deepseek_v3, "deepseek-v3")->Unit(benchmark::kMillisecond);

// One whole evaluation of a layout, the schedule played.
void figures_of_preset(benchmark::State& state, const std::string& name) {
  const spec::RunSpec spec = spec::run_preset(name).value().spec;
  for (auto _ : state)
    benchmark::DoNotOptimize(layout_figures(spec));
}
BENCHMARK_CAPTURE(figures_of_preset, moe_1t, "moe-1t")->Unit(benchmark::kMicrosecond);

// Megatron-Turing NLG 530B on 512 A100. Smith et al. 2022, section 3.1: 105 layers, 20,480 wide,
// 128 heads, sequences of 2,048.
spec::RunSpec megatron_turing() {
  spec::RunSpec spec = spec::run_preset("moe-1t").value().spec;
  spec.model = spec::model_preset("gpt2-124m").value().model;
  spec.model.num_layers = 105;
  spec.model.hidden_size = 20480;
  spec.model.num_attention_heads = spec.model.num_key_value_heads = 128;
  spec.model.head_dim = 160;
  spec.model.ffn_hidden_size = 4 * 20480;
  spec.model.vocab_size = 51200;
  spec.model.max_position_embeddings = 2048;
  spec.training.seq_length = 2048;
  spec.training.global_batch_size = 512;
  spec.cluster = spec::cluster_preset("a100-ib").value().cluster;
  spec.cluster.num_nodes = 64;
  return spec;
}

void search_530b(benchmark::State& state, const std::vector<std::string>& fixed) {
  const spec::RunSpec spec = megatron_turing();
  const SearchOptions options{.fixed = FixedAxes::parse(fixed).value(), .top = 1};
  ThreadPool pool(1);
  const std::atomic<int> stop = 0;
  for (auto _ : state) {
    const auto found = search_layouts(spec, options, {.pool = pool, .stop = stop, .report = {}});
    if (!found || !found->complete) return state.SkipWithError("not found");
    state.counters["layouts"] = static_cast<double>(found->considered);
    state.counters["played"] = static_cast<double>(found->played);
  }
}
BENCHMARK_CAPTURE(search_530b, all, {})->Unit(benchmark::kMillisecond);
// The axes of layout that Calculon's search has (Isaev et al. 2023; llm/optimal_execution): sizes
// of tensor, pipeline and data axes, interleaving, micro-batches, recomputation of nothing,
// attention or all, a sharded optimizer, and messages of sequence parallelism; not what its
// software overlaps, which is no matter of the layout here. More than there: stages need not divide
// the layers.
BENCHMARK_CAPTURE(search_530b,
                  of_calculon,
                  {"context_parallel_size=1", "schedule=1f1b,interleaved", "zero_stage=0,1",
                   "ends_count_as_layers=false", "offload.weights=none", "offload.gradients=none",
                   "offload.optimizer=none", "offload.activations=none"})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tera::plan

BENCHMARK_MAIN();
