// How long an estimate takes, and what it consists of; not a test. ninja plan_bench.
#include <string>

#include <benchmark/benchmark.h>

#include "core/plan/estimate.h"
#include "core/plan/schedule_simulator.h"
#include "core/spec/presets.h"

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

}  // namespace
}  // namespace tera::plan

BENCHMARK_MAIN();
