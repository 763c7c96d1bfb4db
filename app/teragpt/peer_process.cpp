#include "app/teragpt/peer_process.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/child_process.h"
#include "app/teragpt/cli.h"

namespace tera::app {

Result<PeerProcess> PeerProcess::start(
    const std::vector<std::string>& argv,
    const std::vector<std::pair<std::string, std::string>>& environment) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    return fail(ErrorCode::io, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  const Result<pid_t> child =
      start_child({.argv = argv, .environment = environment, .in = in[0], .out = out[1]});
  close(in[0]);
  close(out[1]);
  PeerProcess peer;
  peer.to_ = in[1];
  peer.from_ = out[0];
  if (!child) return tl::unexpected<Error>(child.error());
  peer.pid_ = *child;
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
  for (int i = 0; i < 40 && stop_requests().load() == 0; ++i) {
    if (has_ended(pid_)) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  end_child(pid_);
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
