#include "app/teragpt/bench_ops.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "app/teragpt/bench_device.h"
#include "app/teragpt/op_cases.h"
#include "core/base/clock.h"
#include "core/base/median.h"
#include "core/base/units.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

struct OpsArguments {
  std::string filter;
  double seconds = 0.2;
  int threads = 0;
};

using Call = std::function<void()>;

double timed_s(const Call& call) {
  const double start = monotonic_s();
  call();
  return monotonic_s() - start;
}

struct Timing {
  double call_s = 0;        // the fastest call: other programs only ever slow it down
  double speed_beside = 0;  // median over pairs of calls: seconds of the other over seconds of this
  int pairs = 0;            // 0: measured alone
};

// Calls for `seconds`, in turn with `other` where there is one, and then at least nine times each.
Result<Timing> time_calls(const Call& call, const Call& other, double seconds) {
  constexpr std::size_t kMinPairs = 9;
  call();  // memory is touched, scratch is there
  if (other) other();
  std::vector<double> calls_s;
  std::vector<double> speeds;
  const double begin = monotonic_s();
  while (calls_s.empty() || (other && calls_s.size() < kMinPairs) ||
         monotonic_s() - begin < seconds) {
    TERA_TRY_VOID(check_stop("bench ops", "the rows printed before are complete"));
    const double other_s = other ? timed_s(other) : 0;
    calls_s.push_back(timed_s(call));
    if (other) speeds.push_back(other_s / calls_s.back());
  }
  return Timing{.call_s = std::ranges::min(calls_s),
                .speed_beside = other ? median(speeds) : 0,
                .pairs = static_cast<int>(speeds.size())};
}

Result<Timing> time_case(const OpCase& op, Backend& backend, double seconds) {
  return time_calls(op.prepare(backend), op.beside ? op.beside->prepare(backend) : Call(), seconds);
}

// One op beside its ceiling: multiply-adds in registers, or reading and writing memory.
ordered_json row_of(const OpCase& op,
                    const Timing& timing,
                    int threads,
                    const kernels::Peaks& peaks) {
  const bool computes = op.work.flops > 0;
  const double rate = (computes ? op.work.flops : op.work.bytes) / timing.call_s;
  const double peak = computes ? peaks.flops_per_s(op.dtype) : peaks.memory_bytes_per_s;
  ordered_json row = {{"op", op.name},
                      {"threads", threads},
                      {"call_s", timing.call_s},
                      {computes ? "flops_per_s" : "bytes_per_s", rate},
                      {computes ? "peak_flops_per_s" : "peak_bytes_per_s", peak},
                      {"share_of_peak", rate / peak}};
  if (op.beside) {
    row["beside"] = {
        {"op", op.beside->name}, {"speed", timing.speed_beside}, {"pairs", timing.pairs}};
  }
  return row;
}

void print_row(const ordered_json& row) {
  const bool computes = row.contains("flops_per_s");
  const double rate = row[computes ? "flops_per_s" : "bytes_per_s"].get<double>();
  fmt::print("{:<44} {:>8}  {:>13} = {:>6} of peak\n", row["op"].get<std::string>(),
             format_seconds(row["call_s"].get<double>()),
             format_rate(rate, computes ? "FLOP/s" : "B/s"),
             format_percent(row["share_of_peak"].get<double>()));
  if (row.contains("beside")) {
    const ordered_json& beside = row["beside"];
    fmt::print("  {} of the speed of {}, median of {} pairs in turn\n",
               format_percent(beside["speed"].get<double>()), beside["op"].get<std::string>(),
               beside["pairs"].get<int>());
  }
  std::fflush(stdout);
}

Result<ordered_json> measure(const OpsArguments& args, bool print) {
  std::vector<OpCase> cases = op_cases();
  for (OpCase& block : block_cases())
    cases.push_back(std::move(block));
  std::erase_if(cases,
                [&](const OpCase& op) { return op.name.find(args.filter) == std::string::npos; });
  if (cases.empty()) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("--filter: got '{}', expected a part of the name of an op", args.filter),
        "for example matmul/forward, grouped, attention/backward/bf16, adamw, rms_norm or block");
  }
  ThreadPool pool(args.threads);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  const kernels::Peaks peaks = kernels::measure_peaks(*backend->context().executor);
  if (print) {
    fmt::print("{} threads; peaks: fp32 {}, bf16 {}, memory {}\n", pool.size(),
               format_rate(peaks.f32_flops_per_s, "FLOP/s"),
               format_rate(peaks.bf16_flops_per_s, "FLOP/s"),
               format_rate(peaks.memory_bytes_per_s, "B/s"));
  }
  ordered_json rows = ordered_json::array();
  Progress progress("measuring", "ops");
  for (const OpCase& op : cases) {
    TERA_TRY(const Timing timing, time_case(op, *backend, args.seconds));
    rows.push_back(row_of(op, timing, pool.size(), peaks));
    if (print) print_row(rows.back());
    if (!print) progress.update(std::ssize(rows), std::ssize(cases));
  }
  return ordered_json{{"schema", "teragpt.bench/1"},
                      {"kind", "ops"},
                      {"peak_flops_per_s_f32", peaks.f32_flops_per_s},
                      {"peak_flops_per_s_bf16", peaks.bf16_flops_per_s},
                      {"peak_memory_bytes_per_s", peaks.memory_bytes_per_s},
                      {"rows", rows}};
}

}  // namespace

void add_ops_bench(CLI::App& bench, Cli& cli) {
  auto* verb = bench.add_subcommand("ops", "Speed of every op, beside the processor's ceilings");
  auto args = std::make_shared<OpsArguments>();
  verb->add_option("--filter", args->filter, "Only ops whose name holds this text")
      ->type_name("TEXT");
  verb->add_option("--seconds", args->seconds, "Time spent on each op")
      ->check(number_between(0, 3600))
      ->capture_default_str();
  verb->add_option("--threads", args->threads, "Threads; 0 = all processors")
      ->check(at_least(0, 4096));
  verb->footer(
      "Example:\n  teragpt bench ops --filter matmul/forward/bf16\n"
      "Names are op/pass/dtype/shape. Ops that stream memory can pass its ceiling from the cache.");
  verb->callback([&cli, args] {
    catch_stop_signals();
    const Result<ordered_json> report = measure(*args, !cli.json);
    if (!report) return cli.fail(report.error());
    if (cli.json) cli.print_json(*report);
  });
}

}  // namespace tera::app
