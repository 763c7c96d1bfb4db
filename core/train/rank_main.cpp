#include "core/train/rank_main.h"

#include <algorithm>
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
#include "core/comm/lone_work.h"
#include "core/comm/peer_aborted.h"
#include "core/run/rank_errors.h"
#include "core/run/run_state.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"
#include "core/tensor/cpu_backend.h"
#include "core/train/train_state.h"

namespace tera::train {
namespace {

// Of ranks that are threads: long enough to wait while rank 0 writes a checkpoint to a slow disk.
constexpr double kThreadTimeoutS = 600;

// What a rank that cannot go on with its peers tells; its log gets what it did last with them.
Error lost(const comm::Communicator& world, const CommunicationError& error) {
  spdlog::error("{}; the last operations of rank {} with others, newest first\n{}", error.what(),
                world.rank(), world.flight_recorder().text());
  if (const auto* told = dynamic_cast<const comm::PeerAborted*>(&error))
    return {ErrorCode::failed, told->reason(), {}};
  return {ErrorCode::failed, error.what(),
          "a rank does not answer when its process is stopped, its computer is gone, or a disk or "
          "step takes longer than ranks wait (teragpt train --timeout)"};
}

// What `work` returns; every exception becomes an error.
template <class Work>
Result<TrainEnd> guarded(const comm::Communicator& world, const Work& work) {
  try {
    return work();
  } catch (const CommunicationError& error) {
    return tl::unexpected<Error>(lost(world, error));
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::failed, fmt::format("rank {} ran out of memory", world.rank()),
                "plan the spec: `teragpt plan` shows what it needs; lower layout.micro_batch_size");
  } catch (const std::exception& error) {
    return fail(ErrorCode::failed, fmt::format("rank {}: {}", world.rank(), error.what()),
                "this is a bug: please report it with the run's spec.yaml and log");
  }
}

// Of several ranks, which one the error is of.
template <class T>
Result<T> named(const comm::Communicator& world, Result<T> result) {
  if (result || world.size() == 1) return result;
  Error error = std::move(result.error());
  error.message = fmt::format("rank {}: {}", world.rank(), error.message);
  return tl::unexpected<Error>(std::move(error));
}

// One rank from nothing to the end. Of an error the group must be told.
Result<TrainEnd> run_rank(const run::RunDirectory& dir,
                          const spec::RunSpec& spec,
                          comm::Communicator& world,
                          int num_threads,
                          const TrainOptions& options) {
  return guarded(world, [&] {
    ThreadPool pool(num_threads);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    return named(world, train(dir, spec, world, *backend, options));
  });
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
  const auto worlds = comm::make_thread_communicators(num_ranks, kThreadTimeoutS);
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

// Takes the attempt, runs it and notes how it began and ended; `leave` is called after a good end,
// before another attempt can begin.
Result<TrainEnd> lead(const run::RunDirectory& dir,
                      bool resume,
                      const std::function<Result<TrainEnd>(int attempt)>& run_attempt,
                      const std::function<void()>& leave) {
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
  leave();
  return end;
}

// What each rank has, on every rank.
std::vector<std::uint64_t> numbers_of_all(comm::Communicator& world, std::uint64_t number) {
  ThreadPool pool(1);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  Tensor mine = Tensor::empty(*backend, {1}, DType::i64, MemoryKind::workspace);
  Tensor all = Tensor::empty(*backend, {world.size()}, DType::i64, MemoryKind::workspace);
  *mine.data<std::uint64_t>() = number;
  world.all_gather(mine, all);
  return {all.data<std::uint64_t>(), all.data<std::uint64_t>() + world.size()};
}

// The same answer on every rank.
Result<void> require_same_run(comm::Communicator& world, const spec::RunSpec& spec) {
  const std::vector<std::uint64_t> specs = numbers_of_all(world, name_hash(spec::to_yaml(spec)));
  const auto other = std::find_if(specs.begin(), specs.end(),
                                  [&](std::uint64_t hash) { return hash != specs.front(); });
  if (other != specs.end()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("rank {} has another spec than rank 0", other - specs.begin()),
                "give all ranks the same run directory");
  }
  if (world.size() != spec.layout.world_size()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("the job has {} ranks, the layout of the spec {}", world.size(),
                            spec.layout.world_size()),
                fmt::format("start {} ranks", spec.layout.world_size()));
  }
  return {};
}

// For who started the ranks of this attempt; without a launcher nobody looks for it.
void note_error(const run::RunDirectory& dir,
                const Result<int>& attempt,
                const comm::Communicator& world,
                const Error& error) {
  if (!attempt || std::getenv(run::kAttemptVariable) == nullptr) return;
  const Result<void> noted = run::note_rank_error(
      dir, *attempt, {.rank = world.rank(), .error = error, .time_s = wall_s()});
  if (!noted) spdlog::warn("cannot note why this rank ends: {}", noted.error().message);
}

// What is left when the run is whole. It fails nothing any more: who parts in anger is noted.
void leave(const run::RunDirectory& dir,
           const spec::RunSpec& spec,
           comm::Communicator& world,
           const Result<int>& attempt) {
  const Result<TrainEnd> left = guarded(world, [&]() -> Result<TrainEnd> {
    ThreadPool pool(1);
    const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
    comm::do_on_rank_0(world, *backend, [&] { remove_old_checkpoints(dir, spec); });
    return TrainEnd::completed;
  });
  if (!left) note_error(dir, attempt, world, left.error());
}

}  // namespace

Result<TrainEnd> run_training(const run::RunDirectory& dir, TrainOptions options) {
  TERA_TRY(const spec::RunSpec spec, trainable_spec(dir));
  return lead(
      dir, options.resume,
      [&](int attempt) {
        options.attempt = attempt;
        return run_ranks(dir, spec, options);
      },
      [&] { remove_old_checkpoints(dir, spec); });
}

Result<TrainEnd> run_training_rank(const run::RunDirectory& dir,
                                   comm::Communicator& world,
                                   int num_local_ranks,
                                   TrainOptions options) {
  const auto train_attempt = [&](const spec::RunSpec& spec, int attempt) -> Result<TrainEnd> {
    options.attempt = attempt;
    return run_rank(dir, spec, world, threads_per_rank(spec, num_local_ranks), options);
  };
  const Result<int> launched = dir.attempt_to_start();  // before any rank has begun it
  Result<TrainEnd> end = guarded(world, [&]() -> Result<TrainEnd> {
    TERA_TRY(const spec::RunSpec spec, named(world, trainable_spec(dir)));
    TERA_TRY_VOID(require_same_run(world, spec));
    if (world.rank() == 0) {
      return lead(
          dir, options.resume,
          [&](int attempt) {
            return guarded(world, [&] {
              numbers_of_all(world, static_cast<std::uint64_t>(attempt));
              return train_attempt(spec, attempt);
            });
          },
          [&] { leave(dir, spec, world, launched); });
    }
    const auto attempt = static_cast<int>(numbers_of_all(world, 0).front());
    TERA_TRY_VOID(open_log(dir, attempt, world.rank()));
    Result<TrainEnd> trained = train_attempt(spec, attempt);
    if (trained) leave(dir, spec, world, launched);
    return trained;
  });
  if (end) return end;
  note_error(dir, launched, world, end.error());
  world.abort(end.error().message);  // the first reason is the one that all are told
  return end;
}

}  // namespace tera::train
