// teragpt train as one rank of a job.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/rank_job.h"
#include "app/teragpt/train_run.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/thread_pool.h"
#include "core/comm/told_by_rank_0.h"
#include "core/run/rank_errors.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/rank_main.h"

namespace tera::app {
namespace {

// What the ranks of a run must be told alike.
std::string words_of(const TrainArguments& args) {
  std::string words = "train " + (args.run.empty() ? args.spec : "--run " + args.run);
  if (args.resume) words += " --resume";
  if (args.steps > 0) words += fmt::format(" --steps {}", args.steps);
  if (!args.runs_root.empty()) words += " --runs-root " + args.runs_root;
  for (const std::string& each : args.overrides)
    words += " --set " + each;
  return words;
}

// Rank 0 opens the run: who was told another would train that one without a word. The first of them
// tells; all have the same answer.
bool told_the_same(Cli& cli, const TrainArguments& args, comm::Communicator& world) {
  const std::string mine = words_of(args);
  const std::string of_rank_0 = comm::told_by_rank_0(world, mine);
  ThreadPool pool(1);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  Tensor other = Tensor::empty(*backend, {1}, DType::i64, MemoryKind::workspace);
  auto& first = *other.data<std::int64_t>();
  first = mine == of_rank_0 ? world.size() : world.rank();
  world.all_reduce(other, comm::Reduce::min);
  if (first == world.size()) return true;
  cli.exit_code = exit_usage;
  if (first == world.rank()) {
    cli.fail({ErrorCode::invalid_input,
              fmt::format("rank {} was started as `{}`, rank 0 as `{}`", first, mine, of_rank_0),
              "start all ranks of a run with the same words"});
  }
  return false;
}

// The run that rank 0 makes or finds; nothing where it found that this cannot be, and told why.
std::optional<run::RunDirectory> open_run_of_all(Cli& cli,
                                                 const TrainArguments& args,
                                                 comm::Communicator& world) {
  std::optional<run::RunDirectory> dir;
  if (world.rank() == 0) dir = open_run(cli, args, num_local_ranks(world.size()));
  const std::string path = comm::told_by_rank_0(world, dir ? dir->path().string() : "");
  if (path.empty()) cli.exit_code = std::max<int>(cli.exit_code, exit_no);
  if (path.empty() || world.rank() == 0) return dir;
  Result<run::RunDirectory> found = run::RunDirectory::open(posix_vfs(), path);
  if (found) return std::move(*found);
  found.error().message = fmt::format("rank {}: {}", world.rank(), found.error().message);
  found.error().hint = "is it on a file system that all computers of the ranks share?";
  world.abort(found.error().message);
  cli.fail(found.error());
  return std::nullopt;
}

void train_in(Cli& cli, const TrainArguments& args, const JoinedRanks& joined) {
  comm::Communicator& world = joined.world();
  if (!told_the_same(cli, args, world)) return;
  const std::optional<run::RunDirectory> dir = open_run_of_all(cli, args, world);
  if (!dir) return;
  if (world.rank() == 0 && !cli.json) print_if_read(fmt::format("run {}\n", dir->path().string()));
  const Result<spec::RunSpec> spec = dir->spec();
  std::vector<double> steps_s;
  const Result<train::TrainEnd> end =
      train::run_training_rank(*dir, world, num_local_ranks(world.size()),
                               options_of(cli, args, spec ? spec->training.num_steps : 0, steps_s));
  if (!end) {
    joined.abort(end.error().message);
    return cli.fail(end.error());
  }
  if (world.rank() == 0) learn_from(*dir, *spec, steps_s);
  if (*end != train::TrainEnd::stopped) return;
  cli.exit_code = exit_stopped;
  if (world.rank() == 0) tell_stopped(cli, *dir);
}

}  // namespace

void train_rank(Cli& cli,
                const TrainArguments& args,
                const run::RunDirectory& dir,
                const spec::RunSpec& spec) {
  const Result<JoinedRanks> joined = join_rank_job(dir, args.by_nccl(), args.timeout_s);
  const auto ends_with = [&cli](const Error& error) {
    spdlog::error("{}", error.message);
    if (!error.hint.empty()) spdlog::error("hint: {}", error.hint);
    cli.exit_code = exit_no;
  };
  if (!joined) {
    ends_with(joined.error());
    if (const Result<int> attempt = dir.attempt_to_start()) {
      const std::optional<comm::LaunchedRank> place = comm::launched_rank();
      static_cast<void>(run::note_rank_error(
          dir, *attempt,
          {.rank = place ? place->rank : -1, .error = joined.error(), .time_s = wall_s()}));
    }
    return;
  }
  comm::Communicator& world = joined->world();
  std::vector<double> steps_s;
  const Result<train::TrainEnd> end =
      train::run_training_rank(dir, world, num_local_ranks(world.size()),
                               options_of(cli, args, spec.training.num_steps, steps_s));
  if (!end) {
    ends_with(end.error());
    joined->abort(end.error().message);
  } else if (world.rank() == 0) {
    learn_from(dir, spec, steps_s);
  }
}

void train_launched(Cli& cli, const TrainArguments& args, const comm::LaunchedRank& place) {
  if (args.ranks == "threads" || !args.hostfile.empty()) {
    return cli.fail(
        {ErrorCode::invalid_input,
         fmt::format("train: got {} in {}, expected a rank to each process, where the "
                     "launcher put it",
                     args.hostfile.empty() ? "--ranks threads" : "--hostfile", text_of(place)),
         "leave it out, or start one process"});
  }
  const auto gives_up = [&cli](const Error& error) {
    cli.fail(error);
    cli.finish();
    std::fflush(nullptr);
    std::_Exit(cli.exit_code);
  };
  const Result<JoinedRanks> joined =
      args.store.empty() ? join_launched_job(place, args.by_nccl(), args.timeout_s, gives_up)
                         : join_by_store(place, args.store, args.timeout_s);
  if (!joined) return cli.fail(joined.error());
  try {
    train_in(cli, args, *joined);
  } catch (const CommunicationError& error) {
    joined->abort(error.what());
    cli.fail({ErrorCode::failed, error.what(), {}});
  }
}

}  // namespace tera::app
