#include "app/teragpt/bench_comm.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "app/teragpt/bench_device.h"
#include "app/teragpt/comm_cases.h"
#include "app/teragpt/mpi_job.h"
#include "app/teragpt/nccl_ranks.h"
#include "app/teragpt/peer_process.h"
#include "core/base/error.h"
#include "core/base/units.h"
#include "core/comm/mpi.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

constexpr const char* kRowsAreComplete = "the rows printed before are complete";
constexpr double kNcclTimeoutS = 120;

struct CommArguments {
  int ranks = 2;
  std::vector<std::int64_t> bytes = {4 << 10, 256 << 10, 4 << 20, 64 << 20};
  double seconds = 0.2;
  bool is_mpi_rank = false;
  // What connects the ranks; all that this computer has, unless it was asked for some.
  std::vector<std::string> transports = {"threads", "mpi", "nccl"};
  bool were_named = false;

  bool has(std::string_view transport) const {
    return std::find(transports.begin(), transports.end(), transport) != transports.end();
  }
};

ordered_json row_of(const char* transport, int ranks, const CommTiming& timing) {
  ordered_json row = {{"transport", transport},
                      {"operation", timing.operation},
                      {"ranks", ranks},
                      {"bytes", timing.bytes},
                      {"call_s", timing.call_s},
                      {"moved_bytes", timing.moved_bytes},
                      {"bytes_per_s", timing.moved_bytes / timing.call_s}};
  if (timing.raw_call_s > 0) {
    row["beside"] = {{"call", "MPI's own"},
                     {"call_s", timing.raw_call_s},
                     {"bytes_per_s", timing.moved_bytes / timing.raw_call_s},
                     {"speed", timing.raw_call_s / timing.call_s}};
  }
  return row;
}

using OnRow = std::function<void(ordered_json)>;

Result<void> measure_threads(const CommArguments& args, const OnRow& on_row) {
  const auto worlds = comm::make_thread_communicators(args.ranks);
  std::exception_ptr first;
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    for (const auto& world : worlds) {
      threads.emplace_back([&args, &on_row, &first, &mutex, &world = *world] {
        try {
          ThreadPool pool(1);
          const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
          time_collectives(world, *backend, {.bytes = args.bytes, .seconds = args.seconds},
                           [&](const CommTiming& t) {
                             on_row(row_of("threads", args.ranks, t));
                             if (stop_requests().load() > 0) throw CommunicationError("stopped");
                           });
        } catch (const std::exception& error) {
          const std::scoped_lock lock(mutex);
          if (!first) first = std::current_exception();
          world.abort(error.what());
        }
      });
    }
  }
  TERA_TRY_VOID(check_stop("bench comm", kRowsAreComplete));
  if (first) std::rethrow_exception(first);
  return {};
}

// A rank of the job that measure_processes started: rank 0 prints a line of JSON for each row.
void run_mpi_rank(Cli& cli, const CommArguments& args) {
  auto job = comm::make_mpi_communicator();
  if (!job) return cli.fail(job.error());
  const bool by_nccl = args.has("nccl");
  const Result<JoinedRanks> joined = connect_ranks(std::move(*job), by_nccl, kNcclTimeoutS);
  if (!joined) return cli.fail(joined.error());
  comm::Communicator& world = joined->world();
  ThreadPool pool(1);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  CommSettings settings = {.bytes = args.bytes, .seconds = args.seconds};
  if (!by_nccl) settings.raw = comm::run_raw_mpi;
  time_collectives(world, *backend, settings, [&](const CommTiming& timing) {
    cli.print_json_line(row_of(by_nccl ? "nccl" : "mpi", world.size(), timing));
  });
  if (world.rank() == 0) cli.print_json_line({{"end", true}});
}

Result<void> measure_processes(const CommArguments& args, const MpiJob& job, const OnRow& on_row) {
  TERA_TRY(PeerProcess ranks, PeerProcess::start(job.argv, job.environment));
  const auto failed = [&](const std::string& what) {
    return fail(ErrorCode::failed, fmt::format("the MPI job failed: {}", printable(what)),
                fmt::format("try it by hand: {}", job.command()));
  };
  while (true) {
    // Every row takes a few times its seconds, and some for the first call.
    const Result<std::string> line = ranks.receive(120 + 20 * args.seconds);
    TERA_TRY_VOID(check_stop("bench comm", kRowsAreComplete));
    if (!line) return failed(line.error().message);
    ordered_json row = ordered_json::parse(*line, nullptr, false);
    if (row.is_discarded()) return failed(*line);
    if (row.contains("end")) return {};
    on_row(std::move(row));
  }
}

// The job whose ranks are processes, connected by `transport`. An error says what that lacks.
Result<MpiJob> job_of(const CommArguments& args, const std::string& transport) {
  if (transport == "nccl") TERA_TRY_VOID(check_nccl_ranks(args.ranks));
  std::vector<std::string> arguments = {"bench", "comm", "--rank-of-mpi-job"};
  arguments.insert(arguments.end(), {"--transport", transport});
  arguments.insert(arguments.end(), {"--seconds", fmt::format("{}", args.seconds), "--bytes"});
  for (const std::int64_t bytes : args.bytes)
    arguments.push_back(std::to_string(bytes));
  return make_mpi_job(args.ranks, arguments);
}

void print_row(const ordered_json& row) {
  fmt::print("{:<8} {:<15} {:>9}  {:>9}  {:>11} = {:>6} of memory",
             row["transport"].get<std::string>(), row["operation"].get<std::string>(),
             format_bytes(row["bytes"].get<double>()), format_seconds(row["call_s"].get<double>()),
             format_rate(row["bytes_per_s"].get<double>(), "B/s"),
             format_percent(row["share_of_peak"].get<double>()));
  if (row.contains("beside")) {
    const ordered_json& beside = row["beside"];
    fmt::print("   MPI's own {:>9} = {:>6}, we are {:.2f}x",
               format_seconds(beside["call_s"].get<double>()),
               format_percent(beside["share_of_peak"].get<double>()),
               beside["speed"].get<double>());
  }
  fmt::print("\n");
  std::fflush(stdout);
}

Result<ordered_json> measure(const CommArguments& args, bool print) {
  ThreadPool pool(std::min(args.ranks, ThreadPool::available_processors()));
  const double peak = measure_peaks(pool).memory_bytes_per_s;
  ordered_json report = {{"schema", "teragpt.bench/1"},
                         {"kind", "comm"},
                         {"ranks", args.ranks},
                         {"peak_memory_bytes_per_s", peak}};
  ordered_json rows = ordered_json::array();
  const auto on_row = [&](ordered_json row) {
    row["share_of_peak"] = row["bytes_per_s"].get<double>() / peak;
    if (row.contains("beside"))
      row["beside"]["share_of_peak"] = row["beside"]["bytes_per_s"].get<double>() / peak;
    if (print) print_row(row);
    rows.push_back(std::move(row));
  };
  if (print)
    fmt::print("{} ranks; {} threads read and write memory at {}\n", args.ranks, pool.size(),
               format_rate(peak, "B/s"));
  if (args.has("threads")) TERA_TRY_VOID(measure_threads(args, on_row));
  for (const std::string transport : {"mpi", "nccl"}) {
    if (!args.has(transport)) continue;
    const Result<MpiJob> job = job_of(args, transport);
    if (!job && args.were_named) return tl::unexpected<Error>(job.error());
    if (!job) {
      if (print)
        fmt::print("{:<8} not measured: {} ({})\n", transport, job.error().message,
                   job.error().hint);
      report[transport + "_missing"] = job.error().message;
      continue;
    }
    if (print) {
      fmt::print("$ {}\n", job->command());
      for (const std::string& reason : job->reasons)
        fmt::print("  {}\n", reason);
    }
    TERA_TRY_VOID(measure_processes(args, *job, on_row));
    report[transport + "_command"] = job->command();
  }
  report["rows"] = std::move(rows);
  return report;
}

}  // namespace

void add_comm_bench(CLI::App& bench, Cli& cli) {
  auto* verb = bench.add_subcommand(
      "comm",
      "Collectives of threads and processes (MPI, NCCL), beside memory's speed and MPI's own");
  auto args = std::make_shared<CommArguments>();
  verb->add_option("--ranks", args->ranks, "Ranks of this computer")
      ->check(at_least(1, 64))
      ->capture_default_str();
  verb->add_option("--bytes", args->bytes, "Bytes of the whole tensor")
      ->check(at_least(4, 1 << 30))
      ->capture_default_str();
  verb->add_option("--seconds", args->seconds, "Time spent on each collective and size")
      ->check(number_between(0, 3600))
      ->capture_default_str();
  auto* transports = verb->add_option("--transport", args->transports,
                                      "What connects the ranks: threads, mpi, nccl, which takes "
                                      "a GPU for each (default: all that are here)")
                         ->check(CLI::IsMember({"threads", "mpi", "nccl"}));
  verb->add_flag("--rank-of-mpi-job", args->is_mpi_rank)->group("");  // this program starts itself
  verb->footer(
      "Example:\n  teragpt bench comm --ranks 4 --bytes 65536 16777216\n"
      "Rates are of what the ranks at least read and write in memory: an all-reduce of S bytes "
      "over n ranks reads and writes n S. Small tensors pass the memory's speed from the cache. "
      "With MPI, the program starts itself under mpirun and calls MPI's own collective in turn; "
      "with a GPU for each rank, a second time over NCCL, where tensors of host memory pass "
      "through "
      "the GPUs.");
  verb->callback([&cli, args, transports] {
    args->were_named = transports->count() > 0;
    if (args->is_mpi_rank) return run_mpi_rank(cli, *args);
    catch_stop_signals();
    const Result<ordered_json> report = measure(*args, !cli.json);
    if (!report) return cli.fail(report.error());
    if (cli.json) cli.print_json(*report);
  });
}

}  // namespace tera::app
