#include "core/train/rank_main.h"

#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/checkpoint.h"
#include "core/run/run_state.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"
#include "core/tensor/cpu_backend.h"

namespace tera::train {
namespace {

// Long enough for the others to wait while rank 0 writes a checkpoint to a slow disk.
constexpr double kRankTimeoutS = 600;

// One rank from nothing to the end; every exception becomes an error. The group must be told.
Result<TrainEnd> run_rank(const run::RunDirectory& dir,
                          const spec::RunSpec& spec,
                          comm::Communicator& world,
                          int num_threads,
                          const TrainOptions& options) {
  try {
    ThreadPool pool(num_threads);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    return train(dir, spec, world, *backend, options);
  } catch (const CommunicationError& error) {
    spdlog::error("rank {}: its last operations with others, newest first\n{}", world.rank(),
                  world.flight_recorder().text());
    return fail(ErrorCode::failed,
                fmt::format("rank {} lost its peers: {}", world.rank(), error.what()));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::failed, fmt::format("rank {} ran out of memory", world.rank()),
                "plan the spec: `teragpt plan` shows what it needs; lower layout.micro_batch_size");
  } catch (const std::exception& error) {
    return fail(ErrorCode::failed, fmt::format("rank {}: {}", world.rank(), error.what()),
                "this is a bug: please report it with the run's spec.yaml and log");
  }
}

int threads_per_rank(const spec::RunSpec& spec, int num_local_ranks) {
  const int processors =
      spec.launch.num_threads > 0 ? spec.launch.num_threads : ThreadPool::available_processors();
  return std::max(1, processors / num_local_ranks);
}

Result<TrainEnd> run_ranks(const run::RunDirectory& dir,
                           const spec::RunSpec& spec,
                           const TrainOptions& options) {
  const auto num_ranks = static_cast<int>(spec.layout.world_size());
  const int num_threads = threads_per_rank(spec, num_ranks);
  if (num_ranks == 1) {
    const std::unique_ptr<comm::Communicator> world = comm::make_self_communicator();
    return run_rank(dir, spec, *world, num_threads, options);
  }
  const auto worlds = comm::make_thread_communicators(num_ranks, kRankTimeoutS);
  std::vector<std::optional<Result<TrainEnd>>> ends(static_cast<std::size_t>(num_ranks));
  std::mutex order;
  std::optional<Error> first_error;  // the cause; the others report that a peer aborted
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < num_ranks; ++rank) {
      threads.emplace_back([&, rank] {
        const auto i = static_cast<std::size_t>(rank);
        ends[i] = run_rank(dir, spec, *worlds[i], num_threads, options);
        if (*ends[i]) return;
        {
          const std::scoped_lock lock(order);
          if (!first_error) first_error = ends[i]->error();
        }
        worlds[i]->abort(ends[i]->error().message);
      });
    }
  }
  if (first_error) return tl::unexpected<Error>(*first_error);
  return *ends.front();
}

// A good checkpoint is never written over: a run that has some goes on, or another run is started.
Result<void> refuse_to_start_over(const run::RunDirectory& dir) {
  TERA_TRY(const std::vector<checkpoint::CheckpointInfo> kept,
           checkpoint::list(dir.vfs(), dir.checkpoints_dir()));
  if (kept.empty()) return {};
  return fail(ErrorCode::invalid_input,
              fmt::format("run {} has checkpoints up to step {}", dir.id(), kept.front().step),
              "go on with --resume, or start a new run from the spec");
}

Result<void> note(const run::RunDirectory& dir,
                  int attempt,
                  std::string_view state,
                  std::string detail) {
  return run::append_event(dir, {.time_s = wall_s(),
                                 .attempt = attempt,
                                 .state = std::string(state),
                                 .detail = std::move(detail)});
}

Result<spec::RunSpec> trainable_spec(const run::RunDirectory& dir) {
  TERA_TRY(spec::RunSpec spec, dir.spec());
  std::vector<Diagnostic> problems = spec::validate(spec);
  for (Diagnostic& d : spec::validate_for_engine(spec))
    problems.push_back(std::move(d));
  for (const Diagnostic& d : problems) {
    if (d.severity == Severity::error) {
      return fail(ErrorCode::invalid_input, fmt::format("{}: {}", d.field, d.message), d.hint);
    }
  }
  return spec;
}

// A launcher sends stderr to the log itself; by hand the log and the terminal both get it.
Result<void> open_log(const run::RunDirectory& dir, int attempt, int rank) {
  if (rank == 0 && std::getenv(run::kAttemptVariable) != nullptr) return {};
  return log_to_file(dir.log_file(attempt, rank), rank, rank == 0);
}

// Takes the attempt, runs it and notes how it began and ended.
Result<TrainEnd> lead(const run::RunDirectory& dir,
                      bool resume,
                      const std::function<Result<TrainEnd>(int attempt)>& run_attempt) {
  if (!resume) TERA_TRY_VOID(refuse_to_start_over(dir));
  TERA_TRY(const int attempt, dir.attempt_to_start());
  TERA_TRY(const run::RunLock lock, run::RunLock::acquire(dir, attempt));
  TERA_TRY_VOID(open_log(dir, attempt, 0));
  TERA_TRY_VOID(note(dir, attempt, "starting", resume ? "resume" : "start"));
  Result<TrainEnd> end = run_attempt(attempt);
  if (!end) {
    // The run's own event is best effort: a full disk must not hide the first reason.
    if (const Result<void> noted = note(dir, attempt, "failed", end.error().message); !noted)
      spdlog::warn("cannot note the failure: {}", noted.error().message);
    return end;
  }
  TERA_TRY_VOID(note(dir, attempt, *end == TrainEnd::completed ? "completed" : "stopped", ""));
  return end;
}

// The number of rank 0, on every rank.
std::uint64_t number_of_first(comm::Communicator& world, std::uint64_t number) {
  ThreadPool pool(1);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  Tensor shared = Tensor::empty(*backend, {1}, DType::i64, MemoryKind::workspace);
  *shared.data<std::uint64_t>() = number;
  world.broadcast(shared, 0);
  return *shared.data<std::uint64_t>();
}

Result<void> require_same_run(comm::Communicator& world, const spec::RunSpec& spec) {
  if (world.size() != spec.layout.world_size()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("the job has {} ranks, the layout of the spec {}", world.size(),
                            spec.layout.world_size()),
                fmt::format("start {} ranks", spec.layout.world_size()));
  }
  const std::uint64_t mine = name_hash(spec::to_yaml(spec));
  if (number_of_first(world, mine) != mine) {
    return fail(ErrorCode::invalid_input,
                fmt::format("rank {} has another spec than rank 0", world.rank()),
                "give all ranks the same run directory");
  }
  return {};
}

}  // namespace

Result<TrainEnd> run_training(const run::RunDirectory& dir, TrainOptions options) {
  TERA_TRY(const spec::RunSpec spec, trainable_spec(dir));
  return lead(dir, options.resume, [&](int attempt) {
    options.attempt = attempt;
    return run_ranks(dir, spec, options);
  });
}

Result<TrainEnd> run_training_rank(const run::RunDirectory& dir,
                                   comm::Communicator& world,
                                   int num_local_ranks,
                                   TrainOptions options) {
  const auto train_attempt = [&](const spec::RunSpec& spec, int attempt) -> Result<TrainEnd> {
    options.attempt = attempt;
    return run_rank(dir, spec, world, threads_per_rank(spec, num_local_ranks), options);
  };
  const auto guarded = [&]() -> Result<TrainEnd> {
    TERA_TRY(const spec::RunSpec spec, trainable_spec(dir));
    TERA_TRY_VOID(require_same_run(world, spec));
    if (world.rank() == 0) {
      return lead(dir, options.resume, [&](int attempt) {
        number_of_first(world, static_cast<std::uint64_t>(attempt));
        return train_attempt(spec, attempt);
      });
    }
    const auto attempt = static_cast<int>(number_of_first(world, 0));
    TERA_TRY_VOID(open_log(dir, attempt, world.rank()));
    return train_attempt(spec, attempt);
  };
  try {
    Result<TrainEnd> end = guarded();
    if (!end) world.abort(end.error().message);  // the first reason is the one that all are told
    return end;
  } catch (const CommunicationError& error) {
    return fail(ErrorCode::failed, fmt::format("rank {}: {}", world.rank(), error.what()));
  }
}

}  // namespace tera::train
