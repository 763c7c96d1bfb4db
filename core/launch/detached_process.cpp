#include "core/launch/detached_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/base/vfs.h"

namespace tera::launch {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

// What the new processes tell the starter through a pipe: pid, then errno if exec failed.
struct Report {
  enum Kind : int { started, failed } kind;
  int value;
};

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (const std::string& word : words)
    all.push_back(const_cast<char*>(word.c_str()));  // execve does not write to them
  all.push_back(nullptr);
  return all;
}

// Everything the children need, made before the fork: after it, in a process that had threads, only
// async-signal-safe calls are allowed.
struct Prepared {
  std::vector<char*> argv, environment;
  const char* working_dir;
  int null_fd, log_fd, report_fd;
};

void report(int fd, Report::Kind kind, int value) {
  const Report message{kind, value};
  while (::write(fd, &message, sizeof(message)) < 0 && errno == EINTR) {
  }
}

[[noreturn]] void become(const Prepared& prepared) {
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(077);
  const bool ready =
      ::dup2(prepared.null_fd, STDIN_FILENO) >= 0 && ::dup2(prepared.log_fd, STDOUT_FILENO) >= 0 &&
      ::dup2(prepared.log_fd, STDERR_FILENO) >= 0 && ::chdir(prepared.working_dir) == 0;
  if (ready) {
    // Descriptors that some library of the caller opened without close-on-exec; older kernels lack
    // the call and keep them.
    constexpr unsigned int kCloseOnExec = 1U << 2U;  // CLOSE_RANGE_CLOEXEC
    ::syscall(SYS_close_range, 3U, ~0U, kCloseOnExec);
    ::execve(prepared.argv[0], prepared.argv.data(), prepared.environment.data());
  }
  report(prepared.report_fd, Report::failed, errno);
  ::_exit(127);
}

// The middle process: leads a new session, starts the real one and leaves, so that init adopts it.
[[noreturn]] void detach(const Prepared& prepared) {
  ::setsid();
  const pid_t pid = ::_Fork();
  if (pid == 0) become(prepared);
  report(prepared.report_fd, pid < 0 ? Report::failed : Report::started, pid < 0 ? errno : pid);
  ::_exit(0);
}

}  // namespace

Result<run::ProcessId> start_detached(const DetachedCommand& command) {
  TERA_TRY_VOID(make_dirs(posix_vfs(), command.log.parent_path()));
  const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.get() < 0) return tl::unexpected<Error>(os_error("open", "/dev/null", errno));
  const Fd log(::open(command.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (log.get() < 0) return tl::unexpected<Error>(os_error("open", command.log, errno));
  std::array<int, 2> pipe_fds{};
  if (::pipe2(pipe_fds.data(), O_CLOEXEC) != 0) {
    return tl::unexpected<Error>(os_error("make a pipe for", command.argv.front(), errno));
  }
  const Fd reader(pipe_fds[0]);
  Fd writer(pipe_fds[1]);

  const Prepared prepared{.argv = pointers(command.argv),
                          .environment = pointers(command.environment),
                          .working_dir = command.working_dir.c_str(),
                          .null_fd = null.get(),
                          .log_fd = log.get(),
                          .report_fd = writer.get()};
  const pid_t middle = ::fork();
  if (middle == 0) detach(prepared);
  if (middle < 0) return tl::unexpected<Error>(os_error("start", command.argv.front(), errno));
  writer.reset();
  // The pipe ends when exec has replaced the process, or when it has reported why not.
  int pid = 0;
  int error = 0;
  Report message{};
  for (ssize_t got = 1; got != 0;) {
    got = ::read(reader.get(), &message, sizeof(message));
    if (got < 0 && errno == EINTR) continue;
    if (got != static_cast<ssize_t>(sizeof(message))) break;
    (message.kind == Report::started ? pid : error) = message.value;
  }
  while (::waitpid(middle, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (error != 0 || pid == 0) {
    return tl::unexpected<Error>(os_error("start", command.argv.front(), error));
  }
  // It may have ended already; then no start time is known and it counts as gone.
  return run::find_process(pid).value_or(
      run::ProcessId{.pid = pid, .starttime = 0, .boot_id = run::boot_id()});
}

Result<void> send_signal(const run::ProcessId& process, int signal_number) {
  const auto gone = [&] {
    return fail(ErrorCode::failed, fmt::format("process {} is gone", process.pid));
  };
  const auto pid = static_cast<pid_t>(process.pid);
  // The descriptor pins the process: if its identity holds after opening, the signal cannot reach a
  // later process with the same pid.
  const Fd pinned(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U)));
  if (!run::is_alive(process)) return gone();
  const long sent = pinned.get() >= 0
                        ? ::syscall(SYS_pidfd_send_signal, pinned.get(), signal_number, nullptr, 0U)
                        : ::kill(pid, signal_number);
  if (sent == 0) return {};
  if (errno == ESRCH) return gone();
  return fail(ErrorCode::io,
              fmt::format("cannot signal process {}: {}", process.pid, std::strerror(errno)));
}

}  // namespace tera::launch
