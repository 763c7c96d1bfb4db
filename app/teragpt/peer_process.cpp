#include "app/teragpt/peer_process.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/cli.h"

extern char** environ;

namespace tera::app {

Result<PeerProcess> PeerProcess::start(
    const std::vector<std::string>& argv,
    const std::vector<std::pair<std::string, std::string>>& environment) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::io, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);

  std::vector<std::string> variables;
  for (char** item = environ; *item != nullptr; ++item)
    variables.emplace_back(*item);
  for (const auto& [name, value] : environment)
    variables.push_back(name + "=" + value);
  std::vector<char*> raw_environment;
  for (std::string& variable : variables)
    raw_environment.push_back(variable.data());
  raw_environment.push_back(nullptr);
  std::vector<std::string> arguments = argv;
  std::vector<char*> raw_arguments;
  for (std::string& argument : arguments)
    raw_arguments.push_back(argument.data());
  raw_arguments.push_back(nullptr);

  PeerProcess peer;
  const int error = posix_spawnp(&peer.pid_, raw_arguments.front(), &actions, nullptr,
                                 raw_arguments.data(), raw_environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  peer.to_ = in[1];
  peer.from_ = out[0];
  if (error != 0) {
    peer.pid_ = -1;
    return fail(ErrorCode::not_found,
                fmt::format("cannot start {}: {}", argv.front(), std::strerror(error)),
                "check the name of the program, or give its path");
  }
  return peer;
}

PeerProcess::PeerProcess(PeerProcess&& other) noexcept {
  *this = std::move(other);
}

PeerProcess& PeerProcess::operator=(PeerProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(to_, other.to_);
  std::swap(from_, other.from_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

PeerProcess::~PeerProcess() {
  if (to_ >= 0) close(to_);
  if (from_ >= 0) close(from_);
  if (pid_ <= 0) return;
  for (int i = 0; i < 20 && stop_requests().load() == 0; ++i) {
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

Result<void> PeerProcess::send(const std::string& line) {
  const std::string text = line + "\n";
  std::size_t done = 0;
  struct sigaction ignore = {};
  struct sigaction before = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, &before);
  while (done < text.size()) {
    const ssize_t written = write(to_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;
    done += static_cast<std::size_t>(written);
  }
  sigaction(SIGPIPE, &before, nullptr);
  if (done < text.size()) return fail(ErrorCode::failed, "the helper program ended early");
  return {};
}

Result<std::string> PeerProcess::receive(double timeout_s) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  for (;;) {
    if (const auto end = buffer_.find('\n'); end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      return line;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return fail(ErrorCode::failed,
                  fmt::format("the helper program said nothing for {} s", timeout_s));
    }
    if (stop_requests().load() > 0) return fail(ErrorCode::failed, "stopped");
    pollfd wait{.fd = from_, .events = POLLIN, .revents = 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 200)));
    if (ready < 0 && errno != EINTR)
      return fail(ErrorCode::io, fmt::format("poll: {}", std::strerror(errno)));
    if (ready <= 0) continue;
    std::array<char, 4096> chunk{};
    const ssize_t got = read(from_, chunk.data(), chunk.size());
    if (got == 0) return fail(ErrorCode::failed, "the helper program ended early");
    if (got > 0) buffer_.append(chunk.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace tera::app
