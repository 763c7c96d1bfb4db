#include "app/teragpt/child_process.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/base/clock.h"

namespace tera::app {
namespace {

// mpirun leaves its ranks a second between one signal and the next.
constexpr double kGraceS = 10;

// What a forked child may do before it becomes another program is little: all is made ready here.
struct ReadyProgram {
  explicit ReadyProgram(const ChildCommand& command) : arguments(command.argv) {
    for (const auto& [name, value] : command.environment)
      variables.push_back(name + "=" + value);
    for (std::string& argument : arguments)
      argv.push_back(argument.data());
    argv.push_back(nullptr);
  }
  std::vector<std::string> arguments;
  std::vector<std::string> variables;
  std::vector<char*> argv;
};

[[noreturn]] void become(ReadyProgram& program, const ChildCommand& command, int report) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int streams[] = {command.in, command.out, command.err};
  for (int i = 0; i < 3; ++i)
    dup2(streams[i] < 0 ? nowhere : streams[i], i);
  for (std::string& variable : program.variables)
    putenv(variable.data());
  execvp(program.argv.front(), program.argv.data());
  const int error = errno;
  static_cast<void>(write(report, &error, sizeof error));
  _exit(127);
}

}  // namespace

Result<pid_t> start_child(const ChildCommand& command) {
  const auto cannot = [&](ErrorCode code, int error, const char* hint) {
    return fail(
        code, fmt::format("cannot start {}: {}", command.argv.front(), std::strerror(error)), hint);
  };
  std::array<int, 2> report{};  // ends without a word when the program has begun
  if (pipe2(report.data(), O_CLOEXEC) != 0) return cannot(ErrorCode::io, errno, "");
  ReadyProgram program(command);
  const pid_t child = fork();
  if (child == 0) become(program, command, report[1]);
  const int fork_error = errno;
  close(report[1]);
  int error = 0;
  while (child > 0 && read(report[0], &error, sizeof error) < 0 && errno == EINTR) {
  }
  close(report[0]);
  if (child < 0) return cannot(ErrorCode::io, fork_error, "");
  if (error == 0) return child;
  waitpid(child, nullptr, 0);
  return cannot(ErrorCode::not_found, error, "check the name of the program, or give its path");
}

std::optional<int> child_end(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, WNOHANG) != child) return std::nullopt;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int end_child(pid_t child) {
  kill(child, SIGTERM);
  const double begin_s = monotonic_s();
  for (bool killed = false;;) {
    if (const std::optional<int> end = child_end(child)) return *end;
    if (!killed && monotonic_s() - begin_s > kGraceS) killed = kill(child, SIGKILL) == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace tera::app
