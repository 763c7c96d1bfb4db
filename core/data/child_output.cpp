#include "core/data/child_output.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

extern char** environ;

namespace tera::data {
namespace {

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Result<std::string> child_output(const std::vector<std::string>& argv,
                                 std::size_t max_bytes,
                                 double timeout_s) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return fail(ErrorCode::io, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t child = 0;
  const int reason =
      ::posix_spawn(&child, argv.front().c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  if (reason != 0) {
    ::close(ends[0]);
    return fail(ErrorCode::io,
                fmt::format("cannot start {}: {}", argv.front(), std::strerror(reason)));
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  std::string output;
  std::string problem;
  for (char buffer[1 << 16]; problem.empty();) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd waiting{.fd = ends[0], .events = POLLIN, .revents = 0};
    const int events =
        ::poll(&waiting, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (events < 0 && errno == EINTR) continue;
    if (events <= 0) {
      problem = fmt::format("it printed nothing to its end within {:.0f} s", timeout_s);
      break;
    }
    const ssize_t got = ::read(ends[0], buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    output.append(buffer, static_cast<std::size_t>(got));
    if (output.size() > max_bytes)
      problem = fmt::format("it printed more than {} bytes", max_bytes);
  }
  ::close(ends[0]);
  if (!problem.empty()) ::kill(child, SIGKILL);
  const int status = wait_for(child);
  if (problem.empty() && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
    problem = WIFEXITED(status) ? fmt::format("it ended with status {}", WEXITSTATUS(status))
                                : fmt::format("signal {} ended it", WTERMSIG(status));
  }
  if (!problem.empty()) return fail(ErrorCode::io, fmt::format("{}: {}", argv.front(), problem));
  return output;
}

}  // namespace tera::data
