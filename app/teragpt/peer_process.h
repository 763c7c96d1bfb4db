// A helper program that answers one line for each line it is sent; used to measure beside PyTorch.
#pragma once
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "core/base/result.h"

namespace tera::app {

class PeerProcess {
 public:
  // Starts argv (found on PATH) with extra environment; its stderr is discarded unless it fails
  // early.
  static Result<PeerProcess> start(
      const std::vector<std::string>& argv,
      const std::vector<std::pair<std::string, std::string>>& environment);
  PeerProcess(PeerProcess&& other) noexcept;
  PeerProcess& operator=(PeerProcess&& other) noexcept;
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;
  ~PeerProcess();  // closes its input, waits a moment (not after Ctrl-C), then ends it

  int pid() const { return pid_; }
  Result<void> send(const std::string& line);
  // Ends early, with an error, when this program is asked to stop.
  Result<std::string> receive(double timeout_s);

 private:
  PeerProcess() = default;
  int pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  std::string buffer_;
};

}  // namespace tera::app
