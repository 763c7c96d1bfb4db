#include "app/teragpt/bench_device.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

#include "app/teragpt/device_rates.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/spec/this_machine.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

namespace fs = std::filesystem;

// A step of training takes seconds, and a machine that others use too differs from one second to
// the next.
constexpr int kSweeps = 12;
constexpr int kSweepsOfDemo = 2;

// Rates as the profile has them: shares of the peaks. One of nothing would make times infinite.
struct Shares {
  explicit Shares(const DeviceRates& rates)
      : matmul(share(rates.bf16.matmul, rates.peaks.bf16_flops_per_s)),
        f32_matmul(share(rates.f32.matmul, rates.peaks.f32_flops_per_s)),
        attention(share(rates.bf16.attention, rates.peaks.bf16_flops_per_s)),
        f32_attention(share(rates.f32.attention, rates.peaks.f32_flops_per_s)),
        memory(share(rates.add_bytes_per_s, rates.peaks.memory_bytes_per_s)) {}
  static double share(double rate, double peak) { return std::max(rate / peak, 0.01); }

  double matmul, f32_matmul, attention, f32_attention, memory;
};

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

std::string profile_text(const std::string& processor, const DeviceRates& rates) {
  const Shares shares(rates);
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
      today(), processor, rates.peaks.f32_flops_per_s, rates.peaks.bf16_flops_per_s,
      rates.peaks.memory_bytes_per_s, shares.matmul, shares.f32_matmul, shares.attention,
      shares.f32_attention, shares.memory, rates.op_overhead_s);
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

Result<DeviceRates> write_profile(const fs::path& path, int sweeps) {
  TERA_TRY_VOID(check_profile_path(path));
  ThreadPool pool;
  Progress progress("measuring this machine", "sweeps");
  const DeviceRates rates = measure_device_rates(pool, sweeps, [&](int done) {
    progress.update(done, sweeps);
    return stop_requests() == 0;
  });
  TERA_TRY_VOID(check_stop("measuring this machine", "nothing was written"));
  progress.update(sweeps, sweeps);
  TERA_TRY_VOID(
      write_file_atomic(posix_vfs(), path, profile_text(spec::this_processor().name, rates)));
  return rates;
}

void print_rates(const DeviceRates& rates, const fs::path& path) {
  const Shares shares(rates);
  const auto print_dtype = [](const char* name, double peak, double matmul, double attention) {
    fmt::print(
        "{}      {} peak, {} of it in training products of 512 x 2048 x 768, {} in attention\n",
        name, format_rate(peak, "FLOP/s"), format_percent(matmul), format_percent(attention));
  };
  print_dtype("fp32", rates.peaks.f32_flops_per_s, shares.f32_matmul, shares.f32_attention);
  print_dtype("bf16", rates.peaks.bf16_flops_per_s, shares.matmul, shares.attention);
  fmt::print("memory    {}, {} of it in an elementwise op\n",
             format_rate(rates.peaks.memory_bytes_per_s, "B/s"), format_percent(shares.memory));
  fmt::print("overhead  {} per op\n", format_seconds(rates.op_overhead_s));
  fmt::print("profile   {}\n", path.string());
}

void bench_device(Cli& cli, int sweeps) {
  catch_stop_signals();
  const fs::path path = spec::device_profile_path();
  const Result<DeviceRates> rates = write_profile(path, sweeps);
  if (!rates) return cli.fail(rates.error());
  if (!cli.json) return print_rates(*rates, path);
  const Shares shares(*rates);
  cli.print_json({{"schema", "teragpt.bench/1"},
                  {"kind", "device"},
                  {"rows",
                   {{{"peak_flops_per_s_f32", rates->peaks.f32_flops_per_s},
                     {"peak_flops_per_s_bf16", rates->peaks.bf16_flops_per_s},
                     {"memory_bytes_per_s", rates->peaks.memory_bytes_per_s},
                     {"matmul_efficiency", shares.matmul},
                     {"f32_matmul_efficiency", shares.f32_matmul},
                     {"attention_efficiency", shares.attention},
                     {"f32_attention_efficiency", shares.f32_attention},
                     {"memory_efficiency", shares.memory},
                     {"op_overhead_s", rates->op_overhead_s}}}},
                  {"profile", path.string()}});
}

}  // namespace

kernels::Peaks measure_peaks(ThreadPool& pool) {
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  return kernels::measure_peaks(*backend->context().executor);
}

void add_device_bench(CLI::App& bench, Cli& cli) {
  auto* verb = bench.add_subcommand(
      "device", "Measure this machine and write the profile that planning uses");
  auto sweeps = std::make_shared<int>(kSweeps);
  verb->add_option("--sweeps", *sweeps,
                   "Times everything is measured, three seconds each: rates are medians over them")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  verb->footer("Example:\n  teragpt bench device");
  verb->callback([&cli, sweeps] { bench_device(cli, *sweeps); });
}

Result<fs::path> ensure_device_profile() {
  fs::path path = spec::device_profile_path();
  if (path.empty()) return path;
  if (!fs::exists(path)) TERA_TRY_VOID(write_profile(path, kSweepsOfDemo));
  return path;
}

}  // namespace tera::app
