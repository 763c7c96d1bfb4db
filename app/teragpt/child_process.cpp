#include "app/teragpt/child_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "core/base/clock.h"

namespace tera::app {
namespace {

// mpirun leaves its ranks a second between one signal and the next, and they some to tell why.
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
  setsid();
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

// Processes that run, or are stopped. The session is the child's as long as nobody waited for it.
std::vector<pid_t> living_of_session(pid_t leader) {
  std::vector<pid_t> found;
  std::error_code problem;
  for (std::filesystem::directory_iterator at("/proc", problem), end; !problem && at != end;
       at.increment(problem)) {
    const std::string name = at->path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(at->path() / "stat");
    std::string text;
    std::getline(file, text);  // nothing of one that is gone
    // "pid (name) state parent group session ...", where the name may be anything.
    std::istringstream words(text.substr(std::min(text.size(), text.rfind(')') + 1)));
    char state = 'Z';
    pid_t parent = 0;
    pid_t group = 0;
    pid_t session = 0;
    words >> state >> parent >> group >> session;
    if (session == leader && state != 'Z') found.push_back(std::atoi(name.c_str()));
  }
  return found;
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

bool has_ended(pid_t child) {
  siginfo_t found = {};
  const int rc = waitid(P_PID, static_cast<id_t>(child), &found, WEXITED | WNOHANG | WNOWAIT);
  return rc == 0 && found.si_pid == child;
}

int end_child(pid_t child) {
  kill(child, SIGTERM);
  kill(child, SIGCONT);  // one that is stopped hears nothing
  const double begin_s = monotonic_s();
  std::chrono::milliseconds pause(5);
  for (;;) {
    const std::vector<pid_t> rest = living_of_session(child);
    const double waited_s = monotonic_s() - begin_s;
    const bool ended = has_ended(child);
    // Who waits for a disk in the kernel outlives even SIGKILL.
    if (ended && (rest.empty() || waited_s > 2 * kGraceS)) break;
    for (const pid_t pid : rest) {
      if (waited_s > kGraceS) {
        kill(pid, SIGKILL);
      } else if (ended) {
        kill(pid, SIGCONT);  // to find out that mpirun is gone
      }
    }
    std::this_thread::sleep_for(pause);
    pause =
        std::min(2 * pause, std::chrono::milliseconds(200));  // all processes are looked through
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace tera::app
