// teragpt train: trains as one run directory, in this process or as ranks of a job it starts.
#include <optional>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/job_end.h"
#include "app/teragpt/mpi_job.h"
#include "app/teragpt/nccl_ranks.h"
#include "app/teragpt/rank_job.h"
#include "app/teragpt/run_view.h"
#include "app/teragpt/train_run.h"
#include "core/base/clock.h"
#include "core/base/counted.h"
#include "core/base/log.h"
#include "core/comm/launched_rank.h"
#include "core/run/rank_errors.h"
#include "core/run/run_directory.h"
#include "core/train/rank_main.h"

namespace tera::app {
namespace {

// A run of one rank, whose sums over the ranks pass its GPU.
Result<train::TrainEnd> train_by_nccl(const run::RunDirectory& dir,
                                      double timeout_s,
                                      const train::TrainOptions& options) {
  TERA_TRY(const auto world, make_nccl_rank(timeout_s));
  return train::run_training_rank(dir, *world, 1, options);
}

void train_here(Cli& cli,
                const TrainArguments& args,
                const run::RunDirectory& dir,
                const spec::RunSpec& spec) {
  std::vector<double> steps_s;
  const train::TrainOptions options = options_of(cli, args, spec.training.num_steps, steps_s);
  const Result<train::TrainEnd> end = args.by_nccl() ? train_by_nccl(dir, args.timeout_s, options)
                                                     : train::run_training(dir, options);
  if (!end) return cli.fail(end.error());
  learn_from(dir, spec, steps_s);
  if (*end == train::TrainEnd::stopped) {
    tell_stopped(cli, dir);
  } else if (steps_s.empty() && !cli.json) {
    print_if_read(
        fmt::format("nothing left to train: all {} steps are done\n", spec.training.num_steps));
  }
}

// Of a process that somebody else started as one of several.
std::optional<comm::LaunchedRank> launched_place(const TrainArguments& args) {
  const std::optional<comm::LaunchedRank> place = comm::launched_rank();
  return args.is_mpi_rank || !place || place->is_alone() ? std::nullopt : place;
}

Result<MpiJob> job_of(const Cli& cli,
                      const TrainArguments& args,
                      const run::RunDirectory& dir,
                      const spec::RunSpec& spec) {
  std::vector<std::string> arguments = {"train", "--run", dir.path().string(), "--rank-of-mpi-job"};
  arguments.insert(arguments.end(), {"--timeout", fmt::format("{}", args.timeout_s)});
  if (args.by_nccl()) arguments.insert(arguments.end(), {"--transport", args.transport});
  if (args.resume) arguments.emplace_back("--resume");
  if (args.steps > 0) arguments.insert(arguments.end(), {"--steps", std::to_string(args.steps)});
  if (cli.json) arguments.insert(arguments.begin(), "--json");
  return make_mpi_job(static_cast<int>(spec.layout.world_size()), arguments, args.hostfile);
}

void train_as_job(
    Cli& cli, const TrainArguments& args, MpiJob job, const run::RunDirectory& dir, int num_ranks) {
  const Result<int> attempt = dir.attempt_to_start();
  if (!attempt) return cli.fail(attempt.error());
  job.environment.emplace_back(run::kAttemptVariable, std::to_string(*attempt));
  const std::filesystem::path log = dir.log_file(*attempt, 0);
  if (const Result<void> made = make_dirs(dir.vfs(), log.parent_path()); !made)
    return cli.fail(made.error());
  // A rank takes the lock when all ranks are there and listen to signals.
  const auto listens = [&] {
    const Result<run::LockHolder> holder = run::lock_holder(dir);
    return holder && holder->held;
  };
  Result<run::StartWatch> start = run::StartWatch::begin(dir, *attempt, num_ranks, args.timeout_s);
  if (!start) return cli.fail(start.error());
  Overdue overdue(dir, *attempt);
  const auto is_lost = [&] {
    if (overdue()) return true;
    const std::optional<run::LostRanks> lost = start->lost();
    if (!lost) return false;
    if (const Result<void> noted = run::note_rank_error(dir, *attempt, error_of(*lost)); !noted)
      spdlog::warn("cannot note who is missing: {}", noted.error().message);
    return true;
  };
  const Result<int> exit_code = run_rank_job(job, log, listens, is_lost);
  if (!exit_code) return cli.fail(exit_code.error());
  const Result<run::RunState> end = job_end(dir, *attempt, *exit_code);
  if (!end) return cli.fail(end.error());
  if (*end == run::RunState::stopped) tell_stopped(cli, dir);
}

void train(Cli& cli, const TrainArguments& args) {
  catch_stop_signals();  // before the run directory is made: it is never left half-written
  outlive_readers();
  if (const std::optional<comm::LaunchedRank> place = launched_place(args))
    return train_launched(cli, args, *place);
  const std::optional<run::RunDirectory> dir = open_run(cli, args);
  if (!dir) return;
  const Result<spec::RunSpec> spec = dir->spec();
  if (!spec) return cli.fail(spec.error());
  if (args.is_mpi_rank) return train_rank(cli, args, *dir, *spec);
  if (!args.run.empty() && !can_connect(cli, args, *spec)) return;
  if (!cli.json) print_if_read(fmt::format("run {}\n", dir->path().string()));
  if (spec->layout.world_size() == 1 || args.ranks == "threads")
    return train_here(cli, args, *dir, *spec);
  Result<MpiJob> job = job_of(cli, args, *dir, *spec);
  if (!job && (!args.hostfile.empty() || args.by_nccl())) return cli.fail(job.error());
  if (!job) {
    spdlog::warn("ranks are threads of this process: {}", job.error().message);
    return train_here(cli, args, *dir, *spec);
  }
  train_as_job(cli, args, std::move(*job), *dir, static_cast<int>(spec->layout.world_size()));
}

// What would be started, and why so.
void plan_job(Cli& cli, const TrainArguments& args) {
  spec::RunSpec spec;
  if (!load_spec(cli, args.spec, args.overrides, spec)) return;
  const std::optional<comm::LaunchedRank> place = launched_place(args);
  if (!place && !can_connect(cli, args, spec)) return;
  const std::filesystem::path root =
      args.runs_root.empty() ? run::default_runs_root() : std::filesystem::path(args.runs_root);
  const run::RunDirectory dir = run::RunDirectory::planned(posix_vfs(), root, run::make_run_id());
  if (!report_checks(cli, launch::preflight(spec, dir, args.hostfile))) return;
  const std::int64_t ranks = spec.layout.world_size();
  const bool in_process = place || ranks == 1 || args.ranks == "threads";
  const Result<MpiJob> job = in_process ? Result<MpiJob>(MpiJob{}) : job_of(cli, args, dir, spec);
  const std::string here =
      place ? text_of(*place) + ", which a launcher started" : counted(ranks, "rank");
  if (cli.json) {
    return cli.print_json({{"schema", "teragpt.train_plan/1"},
                           {"ranks", ranks},
                           {"processes", job && (place || !in_process) ? ranks : 1},
                           {"command", job && !in_process ? job->command() : ""},
                           {"reasons", job ? job->reasons : std::vector{job.error().message}}});
  }
  if (in_process || !job) {
    fmt::print("{} in this process\n", here);
    if (!job) fmt::print("  {}\n", job.error().message);
    return;
  }
  fmt::print("{}\n", job->command());
  for (const std::string& reason : job->reasons)
    fmt::print("  {}\n", reason);
}

// Whether what was asked of the transport goes together.
Result<void> check_transport(const TrainArguments& args) {
  if (args.by_nccl() && args.ranks == "threads") {
    return fail(ErrorCode::invalid_input,
                "train: got --transport nccl with --ranks threads, expected processes: NCCL "
                "connects those, each with a GPU",
                "leave one of the two out");
  }
  const std::optional<comm::LaunchedRank> place = comm::launched_rank();
  if (!args.store.empty() && !(args.by_nccl() && place && !place->is_alone())) {
    return fail(ErrorCode::invalid_input,
                fmt::format("train: got --store {}, expected it with --transport nccl, in "
                            "processes that a launcher such as srun started, two or more",
                            args.store),
                "leave it out: ranks that this program starts find each other by MPI");
  }
  return {};
}

}  // namespace

void add_train_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("train", "Train a spec on this computer, or go on with a run");
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
  verb->add_option("--ranks", args->ranks,
                   "Of a layout with several: processes that mpirun starts, or threads of this one")
      ->check(CLI::IsMember({"processes", "threads"}))
      ->capture_default_str();
  verb->add_option("--transport", args->transport,
                   "What connects ranks that are processes: mpi, or nccl, through a GPU for each "
                   "rank (the model is computed on the CPU)")
      ->check(CLI::IsMember({"mpi", "nccl"}))
      ->capture_default_str();
  verb->add_option("--store", args->store,
                   "With --transport nccl, where processes that a launcher started find each other "
                   "without MPI: a folder of this job alone that all see, or "
                   "tcp://10.0.0.1:4242/SECRET, the address of rank 0. Others on the computer can "
                   "read what a program was started with: of tcp://10.0.0.1:4242/@FILE the secret "
                   "is the first line of a file. It keeps out who does not know it, not who can "
                   "read the network")
      ->type_name("WHERE");
  verb->add_option("--hostfile", args->hostfile,
                   "Computers that share the ranks, a line `name slots=4` each; the run, its data "
                   "and this program are at the same paths on all of them, reached by ssh")
      ->type_name("FILE");
  verb->add_option("--timeout", args->timeout_s,
                   "Seconds that a rank waits for others before all of them end")
      ->check(number_between(1, 86400))
      ->capture_default_str();
  verb->add_flag("--dry-run", args->dry_run,
                 "Print the command that would start the ranks, and why")
      ->needs(spec);
  verb->add_flag("--rank-of-mpi-job", args->is_mpi_rank)->group("");
  add_set_option(*verb, args->overrides);
  verb->footer(
      "Example:\n  teragpt train tiny-moe.yaml --set training.num_steps=100\n"
      "  teragpt train --run 20260101-120000-0a1b2c3d --resume\n"
      "Ctrl-C, or closing the terminal, writes a checkpoint and leaves with exit code 75;\n"
      "a second Ctrl-C leaves at once. A reader that leaves (| head) does not end the training.\n"
      "Started as several processes, by `srun --mpi=pmix` or mpirun, each is a rank.");
  verb->callback([&cli, args, verb] {
    if (args->spec.empty() && args->run.empty()) {
      cli.fail({ErrorCode::invalid_input,
                "train: got neither SPEC nor --run RUN, expected one of them",
                "teragpt train --help shows examples"});
      return;
    }
    if (const Result<void> good = check_transport(*args); !good) return cli.fail(good.error());
    if (args->dry_run) return plan_job(cli, *args);
    train(cli, *args);
  });
}

}  // namespace tera::app
