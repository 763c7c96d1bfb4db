// teragpt train: trains in this process, as one run directory.
#include <cstdlib>
#include <optional>

#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/own_run.h"
#include "app/teragpt/run_view.h"
#include "core/base/log.h"
#include "core/run/run_directory.h"
#include "core/train/rank_main.h"

namespace tera::app {
namespace {

struct TrainArguments {
  std::string spec;
  std::string run;
  std::string runs_root;
  bool resume = false;
  std::int64_t steps = 0;
  std::vector<std::string> overrides;
};

// The run directory to train in: a new one from SPEC, or the one given.
std::optional<run::RunDirectory> open_run(Cli& cli, const TrainArguments& args) {
  if (!args.run.empty()) {
    if (!args.overrides.empty()) {
      cli.fail({ErrorCode::invalid_input, "--set cannot change the spec of a run that exists",
                "start a new run: teragpt train SPEC --set ..."});
      return std::nullopt;
    }
    Result<run::RunDirectory> dir = run::RunDirectory::open(posix_vfs(), args.run);
    if (!dir) {
      cli.fail(dir.error());
      return std::nullopt;
    }
    return std::move(*dir);
  }
  spec::RunSpec spec;
  if (!load_spec(cli, args.spec, args.overrides, spec)) return std::nullopt;
  const std::filesystem::path root =
      args.runs_root.empty() ? run::default_runs_root() : std::filesystem::path(args.runs_root);
  // Before anything is written: what cannot be trained leaves no run behind.
  const run::RunDirectory planned =
      run::RunDirectory::planned(posix_vfs(), root, run::make_run_id());
  if (!report_checks(cli, launch::preflight(spec, planned))) return std::nullopt;
  Result<run::RunDirectory> dir = run::RunDirectory::create(posix_vfs(), root, spec, planned.id());
  if (!dir) {
    cli.fail(dir.error());
    return std::nullopt;
  }
  return std::move(*dir);
}

void print_record(const Cli& cli, const run::MetricRecord& record, std::int64_t num_steps) {
  print_if_read(cli.json ? json_line(record) : record_line(record, num_steps) + "\n");
}

void train(Cli& cli, const TrainArguments& args) {
  catch_stop_signals();  // before the run directory is made: it is never left half-written
  outlive_readers();
  const std::optional<run::RunDirectory> dir = open_run(cli, args);
  if (!dir) return;
  const Result<spec::RunSpec> spec = dir->spec();
  if (!spec) return cli.fail(spec.error());
  if (!cli.json) print_if_read(fmt::format("run {}\n", dir->path().string()));
  std::vector<double> steps_s;
  train::TrainOptions options{.resume = args.resume,
                              .stop_at_step = args.steps,
                              .stop_requested = &stop_requests(),
                              .on_record = [&](const run::MetricRecord& record) {
                                steps_s.push_back(record.value("step_s", 0));
                                print_record(cli, record, spec->training.num_steps);
                              }};
  const Result<train::TrainEnd> end = train::run_training(*dir, options);
  if (!end) return cli.fail(end.error());
  if (const Result<void> noted = note_own_run(dir->id(), *spec, steps_s); !noted)
    spdlog::warn("plans do not learn from this run: {}", noted.error().message);
  if (*end == train::TrainEnd::stopped) {
    cli.exit_code = exit_stopped;
    if (!cli.json)
      print_if_read(fmt::format(
          "stopped after a checkpoint; go on with: teragpt train --run {} --resume\n", dir->id()));
  } else if (steps_s.empty() && !cli.json) {
    print_if_read(
        fmt::format("nothing left to train: all {} steps are done\n", spec->training.num_steps));
  }
}

}  // namespace

void add_train_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("train", "Train a spec in this process, or go on with a run");
  auto args = std::make_shared<TrainArguments>();
  auto* spec = verb->add_option("SPEC", args->spec, "Spec file (YAML)");
  auto* run = verb->add_option("--run", args->run, "Run directory, or its id: train this run")
                  ->type_name("RUN");
  spec->excludes(run);
  verb->add_flag("--resume", args->resume, "Continue from the newest checkpoint that verifies")
      ->needs(run);
  verb->add_option("--steps", args->steps, "Checkpoint and leave after this step")
      ->check(at_least(1));
  verb->add_option("--runs-root", args->runs_root,
                   "Folder for new runs (default: $TERA_RUNS or the user's data folder)")
      ->type_name("DIR");
  add_set_option(*verb, args->overrides);
  verb->footer(
      "Example:\n  teragpt train tiny-moe.yaml --set training.num_steps=100\n"
      "  teragpt train --run 20260101-120000-0a1b2c3d --resume\n"
      "Ctrl-C, or closing the terminal, writes a checkpoint and leaves with exit code 75;\n"
      "a second Ctrl-C leaves at once. A reader that leaves (| head) does not end the training.");
  verb->callback([&cli, args, verb] {
    if (args->spec.empty() && args->run.empty()) {
      cli.fail({ErrorCode::invalid_input,
                "train: got neither SPEC nor --run RUN, expected one of them",
                "teragpt train --help shows examples"});
      return;
    }
    train(cli, *args);
  });
}

}  // namespace tera::app
