// The cases of `teragpt bench ops` under Google Benchmark, whose names, repetitions and files
// tests/referee/kernels/compare_torch.py measures PyTorch beside: op/pass/dtype/shape/threads:N.
#include <memory>

#include <benchmark/benchmark.h>

#include <fmt/format.h>

#include "app/teragpt/op_cases.h"
#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

void measure(benchmark::State& state, const OpCase& op, int threads) {
  ThreadPool pool(threads);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  const std::function<void()> call = op.prepare(*backend);
  call();
  for (auto _ : state)
    call();
  using benchmark::Counter;
  const char* unit = op.work.flops > 0 ? "GFLOP/s" : "GB/s";
  const double work = op.work.flops > 0 ? op.work.flops : op.work.bytes;
  state.counters[unit] = Counter(work * 1e-9, Counter::kIsIterationInvariantRate);
}

}  // namespace
}  // namespace tera::app

int main(int argc, char** argv) {
  for (const tera::app::OpCase& op : tera::app::op_cases()) {
    for (const int threads : {1, 2}) {
      benchmark::RegisterBenchmark(
          fmt::format("{}/threads:{}", op.name, threads).c_str(),
          [op, threads](benchmark::State& state) { tera::app::measure(state, op, threads); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
