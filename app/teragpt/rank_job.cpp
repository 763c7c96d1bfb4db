#include "app/teragpt/rank_job.h"

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <mutex>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/child_process.h"
#include "app/teragpt/cli.h"
#include "core/base/clock.h"
#include "core/base/counted.h"
#include "core/comm/launched_rank.h"
#include "core/comm/mpi.h"

namespace tera::app {
namespace {

// mpirun leaves ranks a second or two between a failure and their end.
constexpr double kPartingS = 5;

}  // namespace

Result<int> run_rank_job(const MpiJob& job,
                         const std::filesystem::path& log,
                         const std::function<bool()>& listens,
                         const std::function<bool()>& is_lost) {
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) {
    return fail(ErrorCode::io,
                fmt::format("cannot write {}: {}", log.string(), std::strerror(errno)));
  }
  const Result<pid_t> child = start_child(
      {.argv = job.argv, .environment = job.environment, .out = STDOUT_FILENO, .err = file});
  close(file);
  if (!child) return tl::unexpected<Error>(child.error());
  bool told = false;
  for (;;) {
    if (has_ended(*child) || is_lost()) return end_child(*child);
    if (stop_requests().load() > 0 && !told && listens()) {
      kill(*child, SIGUSR1);  // mpirun hands it on to every rank
      told = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

bool Overdue::operator()() {
  const double now_s = monotonic_s();
  if (now_s < next_look_s_) return false;
  next_look_s_ = now_s + 1;
  if (!noted_s_ && run::first_rank_error(dir_, attempt_)) noted_s_ = now_s;
  return noted_s_ && now_s - *noted_s_ > kPartingS;
}

Result<JoinedRanks> join_rank_job(const run::RunDirectory& dir, bool by_nccl, double timeout_s) {
  std::optional<run::RankPulse> pulse;
  TERA_TRY(const int attempt, dir.attempt_to_start());
  if (const std::optional<comm::LaunchedRank> place = comm::launched_rank())
    pulse.emplace(dir, attempt, place->rank, timeout_s);
  TERA_TRY(auto world, comm::make_mpi_communicator(timeout_s));
  pulse.reset();  // all are there: from here on the world itself tells who is not
  // mpirun wakes who is stopped before it ends them.
  if (const std::optional<run::RankError> lost = run::first_rank_error(dir, attempt))
    return tl::unexpected<Error>(lost->error);
  return connect_ranks(std::move(world), by_nccl, timeout_s);
}

Result<JoinedRanks> join_launched_job(const comm::LaunchedRank& place,
                                      bool by_nccl,
                                      double timeout_s,
                                      const std::function<void(const Error&)>& gives_up) {
  std::jthread watch([&](const std::stop_token& joined) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait_for(lock, joined, std::chrono::duration<double>(timeout_s), [] { return false; });
    if (joined.stop_requested()) return;
    gives_up({ErrorCode::failed,
              fmt::format("{} waited {:.3g} s for the others, which are not all there",
                          text_of(place), timeout_s),
              "did all of them start, and can their computers reach each other, on every port? "
              "Ranks wait as long as teragpt train --timeout says"});
  });
  TERA_TRY(auto world, comm::make_mpi_communicator(timeout_s));
  watch.request_stop();
  if (place.size > 0 && world->size() != place.size) {
    return fail(ErrorCode::failed,
                fmt::format("{}: MPI knows of {}, expected {}", text_of(place),
                            counted(world->size(), "process", "es"), place.size),
                "start them by a launcher that this MPI knows: mpirun, or `srun --mpi=pmix`");
  }
  return connect_ranks(std::move(world), by_nccl, timeout_s);
}

std::string text_of(const comm::LaunchedRank& place) {
  return place.size > 0 ? fmt::format("rank {} of {}", place.rank, place.size)
                        : fmt::format("rank {}", place.rank);
}

run::RankError error_of(const run::LostRanks& lost) {
  const std::size_t count = lost.silent.size();
  const Error apart = {
      ErrorCode::failed,
      fmt::format("all ranks began and do not find each other within {} s", lost.timeout_s),
      "can their computers reach each other, on every port? Ranks wait as long as teragpt train "
      "--timeout says"};
  const Error silent = {
      ErrorCode::failed,
      fmt::format("{} {} not answer: nothing heard of {} for {} s while ranks start",
                  comm::rank_list(lost.silent), count == 1 ? "does" : "do",
                  count == 1 ? "it" : "them", lost.timeout_s),
      "is the process stopped, or its computer gone or slow? Ranks wait as long as teragpt train "
      "--timeout says"};
  return {.rank = count > 0 ? lost.silent.front() : -1,
          .error = count > 0 ? silent : apart,
          .time_s = wall_s()};
}

int num_local_ranks(int world_size) {
  const std::optional<comm::LaunchedRank> place = comm::launched_rank();
  return place && place->local_size > 0 ? place->local_size : world_size;
}

}  // namespace tera::app
