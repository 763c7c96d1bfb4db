#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/launch/detached_process.h"
#include "core/launch/launch_script.h"
#include "core/launch/launcher.h"
#include "core/run/run_state.h"

namespace tera::launch {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

// Held while a run is started or stopped, so that two launchers take turns.
class LaunchLock {
 public:
  static Result<LaunchLock> acquire(const run::RunDirectory& dir) {
    const std::filesystem::path file = dir.path() / "launch" / "lock";
    LaunchLock lock;
    lock.fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock.fd_ < 0) return tl::unexpected<Error>(os_error("open", file, errno));
    constexpr int kTries = 200;
    for (int i = 0; i < kTries; ++i) {
      if (::flock(lock.fd_, LOCK_EX | LOCK_NB) == 0) return lock;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return fail(ErrorCode::failed,
                fmt::format("run {} is being started or stopped by another process", dir.id()));
  }
  ~LaunchLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  LaunchLock(LaunchLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  LaunchLock& operator=(LaunchLock&&) = delete;
  LaunchLock(const LaunchLock&) = delete;
  LaunchLock& operator=(const LaunchLock&) = delete;

 private:
  LaunchLock() = default;
  int fd_ = -1;
};

struct RunningProcess {
  run::ProcessId process;
  int attempt = 0;
};

// The living process of a run: the one that holds its lock, or one that was launched and is about
// to.
Result<std::optional<RunningProcess>> running_process(const run::RunDirectory& dir) {
  TERA_TRY(const run::LockHolder holder, run::lock_holder(dir));
  if (holder.held) return RunningProcess{holder.process, holder.attempt};
  TERA_TRY(const int attempt, dir.last_attempt());
  const std::optional<run::ProcessId> launched = run::launched_process(dir, attempt);
  if (launched && run::is_alive(*launched)) return RunningProcess{*launched, attempt};
  return std::nullopt;
}

class LocalLauncher : public Launcher {
 public:
  explicit LocalLauncher(const LocalOptions& options) : options_(options) {}

  Result<LaunchScript> render(const run::RunDirectory& dir,
                              const LaunchOptions& options) const override {
    return render_local(dir, options);
  }

  Result<std::int64_t> start(const run::RunDirectory& dir, const LaunchScript& script) override {
    TERA_TRY(const LaunchLock lock, LaunchLock::acquire(dir));
    TERA_TRY(const auto running, running_process(dir));
    if (running) {
      return fail(ErrorCode::failed,
                  fmt::format("run {} is already being trained by process {} (attempt {})",
                              dir.id(), running->process.pid, running->attempt),
                  "watch it with `teragpt attach`, or end it with `teragpt stop`");
    }
    TERA_TRY_VOID(check_current(dir, script));
    TERA_TRY_VOID(write_files(dir, script));
    TERA_TRY(const run::ProcessId process, start_detached({.argv = script.argv,
                                                           .environment = full_environment(script),
                                                           .working_dir = dir.path(),
                                                           .log = script.log}));
    const ordered_json job = {
        {"schema", "teragpt.job/1"},  {"pid", process.pid},        {"starttime", process.starttime},
        {"boot_id", process.boot_id}, {"attempt", script.attempt}, {"started_s", wall_s()},
        {"hash", script.hash}};
    const Result<void> recorded = write_file_atomic(
        dir.vfs(), dir.launch_dir(script.attempt) / "job.json", job.dump(2) + "\n");
    if (!recorded) {  // a process that nobody could find again must not run
      static_cast<void>(send_signal(process, SIGKILL));
      return tl::unexpected<Error>(recorded.error());
    }
    return process.pid;
  }

  Result<void> stop(const run::RunDirectory& dir, bool force) override {
    TERA_TRY(const auto running, running_process(dir));
    if (!running) {
      TERA_TRY(const run::RunStatus status, run::run_status(dir));
      return fail(ErrorCode::failed, fmt::format("run {} is not running: {}, {}", dir.id(),
                                                 run::run_state_name(status.state), status.detail));
    }
    if (running->process.boot_id != run::boot_id()) {
      return fail(ErrorCode::failed,
                  fmt::format("run {} is being trained on another machine (process {} there)",
                              dir.id(), running->process.pid),
                  "stop it on that machine");
    }
    TERA_TRY_VOID(force ? send_signal(running->process, SIGKILL) : ask_once(dir, *running));
    TERA_TRY_VOID(wait_for_end(dir, running->process, force));
    if (!force) return {};
    return run::append_event(dir, {.time_s = wall_s(),
                                   .attempt = running->attempt,
                                   .state = "note",
                                   .detail = "was killed on request"});
  }

 private:
  // The script must be what render shows now: same attempt, same spec.
  static Result<void> check_current(const run::RunDirectory& dir, const LaunchScript& script) {
    TERA_TRY(const int last_attempt, dir.last_attempt());
    if (script.attempt != last_attempt + 1) {
      return fail(ErrorCode::failed,
                  fmt::format("run {}: the script is for attempt {}, the next one is {}", dir.id(),
                              script.attempt, last_attempt + 1),
                  "look at what would run now, and start that");
    }
    for (const auto& [path, text] : script.files) {
      if (path != "spec.yaml") continue;
      TERA_TRY(const std::string now, read_text(dir.vfs(), dir.spec_file(), 1 << 20));
      if (now != text) {
        return fail(ErrorCode::failed,
                    fmt::format("run {}: spec.yaml is not the one that was shown", dir.id()),
                    "look at what would run now, and start that");
      }
    }
    return {};
  }

  static Result<void> write_files(const run::RunDirectory& dir, const LaunchScript& script) {
    TERA_TRY_VOID(make_dirs(dir.vfs(), dir.launch_dir(script.attempt)));
    for (const auto& [path, text] : script.files) {
      if (path == "spec.yaml") continue;  // part of the run directory already
      TERA_TRY_VOID(write_file_atomic(dir.vfs(), dir.path() / path, text));
    }
    return {};
  }

  // A second SIGTERM ends the training process without a checkpoint, so it is sent once.
  static Result<void> ask_once(const run::RunDirectory& dir, const RunningProcess& running) {
    TERA_TRY(const LaunchLock lock, LaunchLock::acquire(dir));
    const std::filesystem::path note = dir.launch_dir(running.attempt) / "stop.json";
    TERA_TRY(const bool asked, dir.vfs().exists(note));
    if (asked) return {};
    TERA_TRY_VOID(make_dirs(dir.vfs(), note.parent_path()));
    TERA_TRY_VOID(send_signal(running.process, SIGTERM));
    const ordered_json text = {{"asked_s", wall_s()}, {"pid", running.process.pid}};
    return write_file_atomic(dir.vfs(), note, text.dump(2) + "\n");
  }

  Result<void> wait_for_end(const run::RunDirectory& dir,
                            const run::ProcessId& process,
                            bool force) const {
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                             std::chrono::duration<double>(options_.stop_wait_s));
    while (run::is_alive(process)) {
      if (Clock::now() >= deadline) {
        return fail(ErrorCode::failed,
                    fmt::format("run {}: process {} has not left after {}", dir.id(), process.pid,
                                format_seconds(options_.stop_wait_s)),
                    force ? "it hangs in the kernel: look at its storage"
                          : "it may still be writing its checkpoint: wait, or use --force");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return {};
  }

  LocalOptions options_;
};

}  // namespace

std::unique_ptr<Launcher> make_local_launcher(const LocalOptions& options) {
  return std::make_unique<LocalLauncher>(options);
}

}  // namespace tera::launch
