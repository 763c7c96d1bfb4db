#include "app/teragpt/bench_layouts.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "app/teragpt/layout_rank.h"
#include "app/teragpt/layout_words.h"
#include "app/teragpt/mpi_job.h"
#include "app/teragpt/peer_process.h"
#include "app/teragpt/rank_job.h"
#include "app/teragpt/stoppable_backend.h"
#include "core/base/clock.h"
#include "core/base/counted.h"
#include "core/base/median.h"
#include "core/base/units.h"
#include "core/comm/mpi.h"
#include "core/launch/preflight.h"
#include "core/spec/presets.h"
#include "core/spec/suggest.h"
#include "core/spec/validate.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/synthetic.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

constexpr const char* kOneRank = "one rank";
constexpr double kTimeoutS = 600;  // of a step, and of the start and the end of ranks

struct LayoutsArguments {
  std::string model = "tiny-moe";
  std::string precision = "fp32";
  std::vector<std::string> layouts = {"dp2", "tp2", "pp2", "ep2", "cp2"};
  int batch = 8;
  int seq = 256;
  int steps = 3;
  int rounds = 3;
  int threads = 0;
  bool is_mpi_rank = false;
};

Result<spec::RunSpec> spec_of(const LayoutsArguments& args, const std::string& layout) {
  TERA_TRY(const spec::ModelPreset preset, spec::model_preset(args.model));
  TERA_TRY(const spec::ClusterPreset machine, spec::cluster_preset("this-machine"));
  const auto precision = enum_from_name<spec::Precision>(args.precision);
  if (!precision) {
    const auto& names = EnumNames<spec::Precision>::value;
    return fail(ErrorCode::invalid_input,
                fmt::format("--precision: got {}, expected {}", args.precision,
                            spec::one_of({names.begin(), names.end()})));
  }
  spec::RunSpec spec;
  spec.name = args.model;
  spec.model = preset.model;
  spec.cluster = machine.cluster;
  spec.training.precision = *precision;
  spec.training.seq_length = args.seq;
  spec.training.global_batch_size = args.batch;
  if (layout != kOneRank) {
    TERA_TRY(spec.layout, layout_of(layout, spec.model.num_experts > 0));
  }
  // Two micro-batches for each stage, so that they have something to do at the same time.
  const int parts =
      spec.layout.data_parallel_size *
      (spec.layout.pipeline_parallel_size > 1 ? 2 * spec.layout.pipeline_parallel_size : 1);
  spec.layout.micro_batch_size = std::max(1, args.batch / parts);
  std::vector<Diagnostic> problems = spec::validate(spec);
  for (Diagnostic& d : spec::validate_for_engine(spec))
    problems.push_back(std::move(d));
  for (const Diagnostic& d : problems) {
    if (d.severity == Severity::error && !d.field.starts_with("data."))  // tokens are made up
      return fail(ErrorCode::invalid_input,
                  fmt::format("layout {}: {}: {}", layout, d.field, d.message), d.hint);
  }
  return spec;
}

// A rank of a job that measure_job() started: rank 0 prints a line.
void run_mpi_rank(Cli& cli, const LayoutsArguments& args) {
  const Result<spec::RunSpec> spec = spec_of(args, args.layouts.front());
  if (!spec) return cli.fail(spec.error());
  const auto world = comm::make_mpi_communicator(kTimeoutS);
  if (!world) return cli.fail(world.error());
  ThreadPool pool(std::max(1, args.threads / num_local_ranks((*world)->size())));
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  const LayoutSteps steps = run_layout(*spec, **world, *backend, args.steps);
  if ((*world)->rank() == 0) cli.print_json_line(steps);
}

Result<MpiJob> job_of(const LayoutsArguments& args,
                      const spec::RunSpec& spec,
                      const std::string& layout) {
  return make_mpi_job(static_cast<int>(spec.layout.world_size()),
                      {"bench", "layouts", "--rank-of-mpi-job", "--layouts", layout, "--model",
                       args.model, "--precision", args.precision, "--batch",
                       std::to_string(args.batch), "--seq", std::to_string(args.seq), "--steps",
                       std::to_string(args.steps), "--threads", std::to_string(args.threads)});
}

Result<LayoutSteps> measure_job(const MpiJob& job, int steps) {
  TERA_TRY(PeerProcess ranks, PeerProcess::start(job.argv, job.environment));
  const Result<std::string> line = ranks.receive(kTimeoutS * (steps + 2));  // one to warm up
  TERA_TRY_VOID(check_stop("bench layouts", "nothing is kept"));
  const ordered_json answer = ordered_json::parse(line ? *line : "", nullptr, false);
  if (!answer.is_object() || !answer.contains("steps_s")) {
    return fail(
        ErrorCode::failed,
        fmt::format("the MPI job failed: {}", printable(line ? *line : line.error().message)),
        fmt::format("try it by hand: {}", job.command()));
  }
  return answer.get<LayoutSteps>();
}

struct Entry {
  std::string layout;
  spec::RunSpec spec;
  MpiJob job;
  LayoutSteps seen = {};  // of all rounds
};

void add(const LayoutSteps& round, double share, LayoutSteps& all) {
  all.steps_s.insert(all.steps_s.end(), round.steps_s.begin(), round.steps_s.end());
  if (all.axes.empty()) {
    all.axes = round.axes;
    for (AxisTime& axis : all.axes)
      axis.seconds = 0;  // the rest is the same in every round
  }
  for (std::size_t i = 0; i < all.axes.size() && i < round.axes.size(); ++i)
    all.axes[i].seconds += share * round.axes[i].seconds;
}

// The one rank stays while the ranks of a layout train.
Result<void> check_memory(const Entry& one, const Entry& entry) {
  const double needs =
      launch::needed_memory_bytes(one.spec) + launch::needed_memory_bytes(entry.spec);
  const std::optional<double> free = launch::free_memory_bytes();
  if (!free || needs <= *free) return {};
  return fail(ErrorCode::failed,
              fmt::format("{} as one rank and as {} needs {} of memory, {} are free",
                          entry.spec.name, entry.layout, format_bytes(needs), format_bytes(*free)),
              "lower --batch or --seq, or name a smaller --model");
}

Result<std::vector<Entry>> entries_of(const LayoutsArguments& args) {
  std::vector<Entry> entries;
  TERA_TRY(spec::RunSpec one, spec_of(args, kOneRank));
  entries.push_back({kOneRank, std::move(one), {}});
  for (const std::string& layout : args.layouts) {
    TERA_TRY(spec::RunSpec spec, spec_of(args, layout));
    TERA_TRY(MpiJob job, job_of(args, spec, layout));
    entries.push_back({layout, std::move(spec), std::move(job)});
    TERA_TRY_VOID(check_memory(entries.front(), entries.back()));
  }
  return entries;
}

Result<void> measure(const LayoutsArguments& args, std::vector<Entry>& entries) {
  ThreadPool pool(args.threads);
  const std::unique_ptr<Backend> backend = make_stoppable_backend(pool);
  train::SyntheticTrainer one(entries.front().spec, *backend);
  one.step();
  for (int round = 0; round < args.rounds; ++round) {
    for (Entry& entry : entries) {
      if (entry.layout != kOneRank) {
        TERA_TRY(const LayoutSteps steps, measure_job(entry.job, args.steps));
        add(steps, 1.0 / args.rounds, entry.seen);
        continue;
      }
      for (int i = 0; i < args.steps; ++i) {
        const double begin_s = monotonic_s();
        one.step();
        entry.seen.steps_s.push_back(monotonic_s() - begin_s);
      }
    }
  }
  return {};
}

ordered_json row_of(const Entry& entry, const Entry& one, int threads) {
  const double step_s = median(entry.seen.steps_s);
  const auto ranks = entry.spec.layout.world_size();
  ordered_json row = {{"layout", entry.layout},
                      {"ranks", ranks},
                      {"threads_per_rank", std::max<std::int64_t>(1, threads / ranks)},
                      {"micro_batch_size", entry.spec.layout.micro_batch_size},
                      {"step_s", step_s},
                      {"tokens_per_s", static_cast<double>(entry.spec.tokens_per_step()) / step_s},
                      {"speed", median(one.seen.steps_s) / step_s}};
  row["axes"] = ordered_json(entry.seen)["axes"];
  return row;
}

void print_row(const ordered_json& row) {
  const double step_s = row["step_s"].get<double>();
  fmt::print("{:<16} {:>2} x {}  {:>9} tok/s  {:>9}/step  {:.2f} x one rank\n",
             row["layout"].get<std::string>(), row["ranks"].get<int>(),
             counted(row["threads_per_rank"].get<int>(), "thread"),
             format_count(row["tokens_per_s"].get<double>()), format_seconds(step_s),
             row["speed"].get<double>());
  for (const ordered_json& axis : row["axes"]) {
    fmt::print("  {:<14} {:>7.0f} calls  {:>10} sent  {:>9} = {} of the step\n",
               axis["axis"].get<std::string>(), axis["calls"].get<double>(),
               format_bytes(axis["wire_bytes"].get<double>()),
               format_seconds(axis["seconds"].get<double>()),
               format_percent(axis["seconds"].get<double>() / step_s));
  }
}

void bench_layouts(Cli& cli, LayoutsArguments args) {
  catch_stop_signals();
  if (args.threads == 0) args.threads = ThreadPool::available_processors();
  Result<std::vector<Entry>> entries = entries_of(args);
  if (!entries) return cli.fail(entries.error());
  try {
    if (const Result<void> measured = measure(args, *entries); !measured)
      return cli.fail(measured.error());
  } catch (const Stopped&) {
    return cli.fail(check_stop("bench layouts", "nothing is kept").error());
  }
  ordered_json rows = ordered_json::array();
  for (const Entry& entry : *entries) {
    rows.push_back(row_of(entry, entries->front(), args.threads));
    if (!cli.json) print_row(rows.back());
  }
  if (cli.json) {
    cli.print_json({{"schema", "teragpt.bench/1"},
                    {"kind", "layouts"},
                    {"model", args.model},
                    {"precision", args.precision},
                    {"batch", args.batch},
                    {"sequence", args.seq},
                    {"threads", args.threads},
                    {"rows", rows}});
  }
}

}  // namespace

void add_layouts_bench(CLI::App& bench, Cli& cli) {
  auto* verb = bench.add_subcommand(
      "layouts", "Training over ranks of this computer, beside one rank with all threads");
  auto args = std::make_shared<LayoutsArguments>();
  verb->add_option("--layouts", args->layouts, "Such as dp2, tp2, pp2-zb-v, tp2-ep4-dp2, dp2-zero3")
      ->capture_default_str();
  verb->add_option("--model", args->model, "Model preset")->capture_default_str();
  verb->add_option("--precision", args->precision, "fp32, bf16, bf16_stochastic, fp16")
      ->capture_default_str();
  verb->add_option("--batch", args->batch, "Sequences per step, of all ranks together")
      ->check(at_least(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--seq", args->seq, "Tokens per sequence")
      ->check(at_least(1))
      ->capture_default_str();
  verb->add_option("--steps", args->steps, "Steps per round")
      ->check(at_least(1))
      ->capture_default_str();
  verb->add_option("--rounds", args->rounds, "Rounds in turn")
      ->check(at_least(1))
      ->capture_default_str();
  verb->add_option("--threads", args->threads, "Threads that the ranks share; 0 = all processors")
      ->check(at_least(0, 4096));
  verb->add_flag("--rank-of-mpi-job", args->is_mpi_rank)->group("");  // this program starts itself
  verb->footer(
      "Example:\n  teragpt bench layouts --model tiny-moe --layouts dp2 dp2-zero3 tp2-ep2\n"
      "Below a layout stands what its mean rank says to others in a step, by axis: calls, bytes "
      "sent, and the time from asking to the end, in which it waits for the slowest; with "
      "operations that computing hides, and axes at the same time, the shares may exceed 100 %.");
  verb->callback([&cli, args] {
    if (args->is_mpi_rank) return run_mpi_rank(cli, *args);
    bench_layouts(cli, *args);
  });
}

}  // namespace tera::app
