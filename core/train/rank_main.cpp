#include "core/train/rank_main.h"

#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/checkpoint.h"
#include "core/run/run_state.h"
#include "core/spec/validate.h"
#include "core/tensor/cpu_backend.h"

namespace tera::train {
namespace {

// One rank from nothing to the end; every exception becomes an error and aborts the group.
Result<TrainEnd> run_rank(const run::RunDirectory& dir,
                          const spec::RunSpec& spec,
                          comm::Communicator& world,
                          int num_threads,
                          const TrainOptions& options) {
  const auto guarded = [&]() -> Result<TrainEnd> {
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
      return fail(
          ErrorCode::failed, fmt::format("rank {} ran out of memory", world.rank()),
          "plan the spec: `teragpt plan` shows what it needs; lower layout.micro_batch_size");
    } catch (const std::exception& error) {
      return fail(ErrorCode::failed, fmt::format("rank {}: {}", world.rank(), error.what()),
                  "this is a bug: please report it with the run's spec.yaml and log");
    }
  };
  Result<TrainEnd> end = guarded();
  if (!end) world.abort(end.error().message);
  return end;
}

Result<TrainEnd> run_ranks(const run::RunDirectory& dir,
                           const spec::RunSpec& spec,
                           const TrainOptions& options) {
  const int num_ranks = spec.layout.data_parallel_size;
  const int processors =
      spec.launch.num_threads > 0 ? spec.launch.num_threads : ThreadPool::available_processors();
  const int threads_per_rank = std::max(1, processors / num_ranks);
  if (num_ranks == 1) {
    const std::unique_ptr<comm::Communicator> world = comm::make_self_communicator();
    return run_rank(dir, spec, *world, threads_per_rank, options);
  }
  // Long enough for the others to wait while rank 0 writes a checkpoint to a slow disk.
  constexpr double kTimeoutS = 600;
  const auto worlds = comm::make_thread_communicators(num_ranks, kTimeoutS);
  std::vector<std::optional<Result<TrainEnd>>> ends(static_cast<std::size_t>(num_ranks));
  std::mutex order;
  std::optional<Error> first_error;  // the cause; the others report that a peer aborted
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < num_ranks; ++rank) {
      threads.emplace_back([&, rank] {
        const auto i = static_cast<std::size_t>(rank);
        ends[i] = run_rank(dir, spec, *worlds[i], threads_per_rank, options);
        const std::scoped_lock lock(order);
        if (!*ends[i] && !first_error) first_error = ends[i]->error();
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

}  // namespace

Result<TrainEnd> run_training(const run::RunDirectory& dir, TrainOptions options) {
  TERA_TRY(const spec::RunSpec spec, dir.spec());
  std::vector<Diagnostic> problems = spec::validate(spec);
  for (Diagnostic& d : spec::validate_for_engine(spec))
    problems.push_back(std::move(d));
  for (const Diagnostic& d : problems) {
    if (d.severity == Severity::error) {
      return fail(ErrorCode::invalid_input, fmt::format("{}: {}", d.field, d.message), d.hint);
    }
  }
  if (!options.resume) TERA_TRY_VOID(refuse_to_start_over(dir));
  TERA_TRY(options.attempt, dir.attempt_to_start());
  TERA_TRY(const run::RunLock lock, run::RunLock::acquire(dir, options.attempt));
  // A launcher sends stderr to the log itself; by hand the log and the terminal both get it.
  if (std::getenv(run::kAttemptVariable) == nullptr) {
    TERA_TRY_VOID(log_to_file(dir.log_file(options.attempt, 0), 0, true));
  }
  const auto event = [&](std::string_view state, std::string detail) {
    return run::append_event(dir, {.time_s = wall_s(),
                                   .attempt = options.attempt,
                                   .state = std::string(state),
                                   .detail = std::move(detail)});
  };
  TERA_TRY_VOID(event("starting", options.resume ? "resume" : "start"));
  Result<TrainEnd> end = run_ranks(dir, spec, options);
  if (!end) {
    // The run's own event is best effort: a full disk must not hide the first reason.
    if (const Result<void> noted = event("failed", end.error().message); !noted) {
      spdlog::warn("cannot note the failure: {}", noted.error().message);
    }
    return end;
  }
  TERA_TRY_VOID(event(*end == TrainEnd::completed ? "completed" : "stopped", ""));
  return end;
}

}  // namespace tera::train
