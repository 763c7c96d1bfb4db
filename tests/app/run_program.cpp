#include "tests/app/run_program.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace tera::test {
namespace {

struct Pipe {
  std::array<int, 2> ends{};
  Pipe() {
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2 failed");
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  void close_end(std::size_t end) {
    if (ends[end] >= 0) close(ends[end]);
    ends[end] = -1;
  }
};

// The words of a command, and the pointers to them that exec wants.
struct Command {
  explicit Command(const std::vector<std::string>& arguments) {
    words = {std::string(std::getenv("TERA_BINARY_DIR")) + "/app/teragpt/teragpt"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    for (std::string& word : words)
      argv.push_back(word.data());
    argv.push_back(nullptr);
  }
  std::vector<std::string> words;
  std::vector<char*> argv;
};

pid_t start(const std::vector<std::string>& arguments, Pipe& in, Pipe& out, Pipe& err) {
  Command command(arguments);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, command.argv[0], &actions, nullptr, command.argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + command.words.front());
  return pid;
}

}  // namespace

ProgramResult run_teragpt(const std::vector<std::string>& arguments,
                          const std::string& input,
                          double timeout_s) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe in;
  Pipe out;
  Pipe err;
  const pid_t pid = start(arguments, in, out, err);
  in.close_end(0);
  out.close_end(1);
  err.close_end(1);
  if (!input.empty() && write(in.ends[1], input.data(), input.size()) < 0)
    throw std::runtime_error("cannot write input");
  in.close_end(1);

  ProgramResult result;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  std::array<pollfd, 2> waits = {{{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}}};
  while (waits[0].fd >= 0 || waits[1].fd >= 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      kill(pid, SIGKILL);
      break;
    }
    poll(waits.data(), waits.size(), 200);
    for (std::size_t i = 0; i < waits.size(); ++i) {
      if (waits[i].fd < 0 || waits[i].revents == 0) continue;
      std::array<char, 65536> chunk{};
      const ssize_t got = read(waits[i].fd, chunk.data(), chunk.size());
      if (got <= 0) {
        waits[i].fd = -1;
      } else {
        (i == 0 ? result.out : result.err).append(chunk.data(), static_cast<std::size_t>(got));
      }
    }
  }
  int status = 0;
  waitpid(pid, &status, 0);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

RunningTeragpt::RunningTeragpt(const std::vector<std::string>& arguments, Output output) {
  Command command(arguments);
  if (output == Output::terminal) {
    pid_ = forkpty(&output_, nullptr, nullptr, nullptr);
  } else {
    Pipe pipe;
    fcntl(pipe.ends[1], F_SETPIPE_SZ, 4096);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
      dup2(STDIN_FILENO, STDERR_FILENO);
      dup2(pipe.ends[1], STDOUT_FILENO);
    }
    output_ = std::exchange(pipe.ends[0], -1);
  }
  if (pid_ == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    execv(command.argv[0], command.argv.data());
    _exit(127);
  }
  if (pid_ < 0) throw std::runtime_error("cannot start " + command.words.front());
  fcntl(output_, F_SETFD, FD_CLOEXEC);
}

RunningTeragpt::~RunningTeragpt() {
  close_output();
  if (pid_ > 0) wait(0);
}

std::optional<std::string> RunningTeragpt::read_line(double timeout_s) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  for (;;) {
    if (const auto newline = unread_.find('\n'); newline != std::string::npos) {
      std::string line = unread_.substr(0, newline);
      unread_.erase(0, newline + 1);
      return line;
    }
    const double left =
        std::chrono::duration<double>(deadline - std::chrono::steady_clock::now()).count();
    pollfd wait = {output_, POLLIN, 0};
    if (poll(&wait, 1, std::max(0, static_cast<int>(left * 1000))) <= 0) return std::nullopt;
    std::array<char, 4096> chunk{};
    const ssize_t got = read(output_, chunk.data(), chunk.size());
    if (got <= 0) return std::nullopt;
    unread_.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

void RunningTeragpt::close_output() {
  if (output_ >= 0) close(std::exchange(output_, -1));
}

void RunningTeragpt::send(int signal_number) const {
  kill(pid_, signal_number);
}

int RunningTeragpt::wait(double timeout_s) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    } else {
      kill(pid_, SIGKILL);
      waitpid(pid_, &status, 0);
      break;
    }
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace tera::test
