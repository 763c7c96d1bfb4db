#include "app/teragpt/bench_device.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "app/teragpt/random_tensor.h"
#include "core/base/clock.h"
#include "core/base/median.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/plan/time_constants.h"
#include "core/spec/this_machine.h"
#include "core/tensor/cpu_backend.h"
#include "core/tensor/tensor.h"

namespace tera::app {
namespace {

namespace fs = std::filesystem;

// Shares of the peak of a dtype.
struct ComputeShares {
  double matmul = 0;     // products of the size that small models have
  double attention = 0;  // forward and backward
};

struct DeviceMeasurement {
  kernels::Peaks peaks;
  ComputeShares f32, bf16;
  double memory_efficiency = 0;  // of an elementwise op of the engine
  double op_overhead_s = 0;      // of an op that does nothing much
};

// Median over several rounds of one call, seconds: what a run that goes on for long gets of this
// machine, beside what else is on it.
template <class Body>
double median_s(int rounds, int calls, const Body& body) {
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    const double start = monotonic_s();
    for (int call = 0; call < calls; ++call)
      body();
    seconds.push_back((monotonic_s() - start) / calls);
  }
  return median(seconds);
}

// Causal attention of 4 x 256 tokens and 12 heads of 64: flops per second, forward and backward
// together. Forward takes half of 4 S^2 D per head, backward 2.5 times that.
double attention_flops_per_s(Backend& backend, DType dtype) {
  constexpr std::int64_t kBatch = 4, kLength = 256, kHeads = 12, kWidth = 64;
  const auto vectors = [&] { return random(backend, dtype, {kBatch, kLength, kHeads, kWidth}); };
  const Tensor q = vectors(), k = vectors(), v = vectors(), out = vectors(), dout = vectors();
  const Tensor dq = vectors(), dk = vectors(), dv = vectors();
  const Tensor first_key =
      Tensor::zeros(backend, {kBatch, kLength}, DType::i32, MemoryKind::workspace);
  const Tensor lse = random(backend, DType::f32, {kBatch, kLength, kHeads});
  const kernels::OpTable& ops = backend.ops();
  const kernels::Context& context = backend.context();
  const double seconds = median_s(15, 3, [&] {
    ops.attention_forward(context, q, k, v, first_key, {.scale = 0.125}, out, lse);
    ops.attention_backward(context, dout, q, k, v, first_key, out, lse, {.scale = 0.125}, dq, dk,
                           dv);
  });
  constexpr double kFlops = 3.5 * 2 * kBatch * kHeads * kLength * kLength * kWidth;
  return kFlops / seconds;
}

// The three products of training with each of several weights on 512 tokens: their flops per second
// together. The weights and their gradients are more than caches hold, as in a model.
double matmul_flops_per_s(Backend& backend, DType dtype) {
  constexpr auto kTokens = static_cast<std::int64_t>(plan::kMeasuredRows.value);
  constexpr std::int64_t kInputs = 768, kOutputs = 2048;
  constexpr int kWeights = 6;
  const Tensor x = random(backend, dtype, {kTokens, kInputs});
  const Tensor y = random(backend, dtype, {kTokens, kOutputs});
  std::vector<std::pair<Tensor, Tensor>> weights;
  for (int i = 0; i < kWeights; ++i)
    weights.emplace_back(random(backend, dtype, {kOutputs, kInputs}, 0.02),
                         random(backend, DType::f32, {kOutputs, kInputs}));
  const kernels::OpTable& ops = backend.ops();
  const double seconds = median_s(9, 1, [&] {
    for (const auto& [w, dw] : weights) {
      ops.matmul(backend.context(), x, w, y, {.transpose_b = true});
      ops.matmul(backend.context(), y, w, x, {});
      ops.matmul(backend.context(), y, x, dw, {.transpose_a = true});
    }
  });
  return kWeights * 3 * 2.0 * kTokens * kInputs * kOutputs / seconds;
}

DeviceMeasurement measure(ThreadPool& pool) {
  DeviceMeasurement m;
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  m.peaks = kernels::measure_peaks(*backend->context().executor);
  // A peak is at least what is reached: its own loop may have run beside something else.
  const auto shares = [&](DType dtype, double& peak) {
    const double matmul = matmul_flops_per_s(*backend, dtype);
    const double attention = attention_flops_per_s(*backend, dtype);
    peak = std::max({peak, matmul, attention});
    return ComputeShares{.matmul = matmul / peak, .attention = attention / peak};
  };
  m.f32 = shares(DType::f32, m.peaks.f32_flops_per_s);
  m.bf16 = shares(DType::bf16, m.peaks.bf16_flops_per_s);
  const kernels::OpTable& ops = backend->ops();
  const auto filled = [&](std::initializer_list<std::int64_t> shape) {
    return random(*backend, DType::f32, shape);
  };

  constexpr std::int64_t kElements = 16 << 20;
  const Tensor x = filled({kElements});
  const Tensor y = filled({kElements});
  const double add_s = median_s(9, 1, [&] { ops.add(backend->context(), x, y, y); });
  const double bytes_per_s = 3.0 * sizeof(float) * kElements / add_s;
  m.peaks.memory_bytes_per_s = std::max(m.peaks.memory_bytes_per_s, bytes_per_s);
  m.memory_efficiency = bytes_per_s / m.peaks.memory_bytes_per_s;

  const Tensor small = filled({64, 64});
  m.op_overhead_s = median_s(15, 200, [&] { ops.add(backend->context(), small, small, small); });
  return m;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

std::string profile_text(const std::string& processor, const DeviceMeasurement& m) {
  const auto share = [](double value) { return std::max(value, 0.01); };
  return fmt::format(
      "# Measured by `teragpt bench device`; `this-machine` plans with it. Delete it to plan with "
      "estimates.\n"
      "measured_on: {}\n"
      "processor: \"{}\"\n"
      "peak_flops_per_s_f32: {:.4e}\n"
      "peak_flops_per_s_bf16: {:.4e}\n"
      "memory_bytes_per_s: {:.4e}\n"
      "matmul_efficiency: {:.3f}\n"
      "f32_matmul_efficiency: {:.3f}\n"
      "attention_efficiency: {:.3f}\n"
      "f32_attention_efficiency: {:.3f}\n"
      "memory_efficiency: {:.3f}\n"
      "op_overhead_s: {:.3e}\n",
      today(), processor, m.peaks.f32_flops_per_s, m.peaks.bf16_flops_per_s,
      m.peaks.memory_bytes_per_s, share(m.bf16.matmul), share(m.f32.matmul),
      share(m.bf16.attention), share(m.f32.attention), share(m.memory_efficiency), m.op_overhead_s);
}

// Before anything is measured.
Result<void> check_profile_path(const fs::path& path) {
  constexpr const char* kHint = "set XDG_CACHE_HOME to a folder that is writable";
  if (path.empty())
    return fail(ErrorCode::invalid_input, "no folder is known for the profile of this device",
                kHint);
  Result<void> ready = make_dirs(posix_vfs(), path.parent_path());
  if (ready) ready = check_can_write(posix_vfs(), path);
  if (!ready) return fail(ready.error().code, ready.error().message, kHint);
  return {};
}

Result<DeviceMeasurement> write_profile(const fs::path& path) {
  TERA_TRY_VOID(check_profile_path(path));
  ThreadPool pool;
  const DeviceMeasurement measured = measure(pool);
  TERA_TRY_VOID(
      write_file_atomic(posix_vfs(), path, profile_text(spec::this_processor().name, measured)));
  return measured;
}

void bench_device(Cli& cli) {
  const fs::path path = spec::device_profile_path();
  const Result<DeviceMeasurement> m = write_profile(path);
  if (!m) return cli.fail(m.error());
  if (cli.json) {
    return cli.print_json({{"schema", "teragpt.bench/1"},
                           {"kind", "device"},
                           {"rows",
                            {{{"peak_flops_per_s_f32", m->peaks.f32_flops_per_s},
                              {"peak_flops_per_s_bf16", m->peaks.bf16_flops_per_s},
                              {"memory_bytes_per_s", m->peaks.memory_bytes_per_s},
                              {"matmul_efficiency", m->bf16.matmul},
                              {"f32_matmul_efficiency", m->f32.matmul},
                              {"attention_efficiency", m->bf16.attention},
                              {"f32_attention_efficiency", m->f32.attention},
                              {"memory_efficiency", m->memory_efficiency},
                              {"op_overhead_s", m->op_overhead_s}}}},
                           {"profile", path.string()}});
  }
  const auto print_shares = [](const char* name, double peak, const ComputeShares& shares) {
    fmt::print(
        "{}      {} peak, {} of it in training products of 512 x 2048 x 768, {} in attention\n",
        name, format_rate(peak, "FLOP/s"), format_percent(shares.matmul),
        format_percent(shares.attention));
  };
  print_shares("fp32", m->peaks.f32_flops_per_s, m->f32);
  print_shares("bf16", m->peaks.bf16_flops_per_s, m->bf16);
  fmt::print("memory    {}, {} of it in an elementwise op\n",
             format_rate(m->peaks.memory_bytes_per_s, "B/s"), format_percent(m->memory_efficiency));
  fmt::print("overhead  {} per op\n", format_seconds(m->op_overhead_s));
  fmt::print("profile   {}\n", path.string());
}

}  // namespace

kernels::Peaks measure_peaks(ThreadPool& pool) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  return kernels::measure_peaks(*backend->context().executor);
}

void add_device_bench(CLI::App& bench, Cli& cli) {
  auto* verb = bench.add_subcommand(
      "device", "Measure this machine and write the profile that planning uses");
  verb->footer("Example:\n  teragpt bench device");
  verb->callback([&cli] { bench_device(cli); });
}

Result<fs::path> ensure_device_profile(bool force) {
  fs::path path = spec::device_profile_path();
  if (path.empty()) return path;
  if (force || !fs::exists(path)) TERA_TRY_VOID(write_profile(path));
  return path;
}

}  // namespace tera::app
