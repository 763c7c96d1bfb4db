// Ranks that are threads, and whose operations a test sees, or holds up.
#pragma once
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/comm/transport.h"
#include "tests/support/spawn_ranks.h"

namespace tera::test {

// Of one rank, on whichever thread runs the operation. Both may be empty.
struct Watch {
  using Notice = std::function<void(const comm::Group&, const comm::Operation&)>;
  Notice before;
  Notice after;
};

// Passes everything on. Tells the watch, which must outlive it.
class WatchedTransport final : public comm::Transport {
 public:
  WatchedTransport(std::unique_ptr<comm::Transport> inner, const Watch& watch)
      : Transport(inner->group()), inner_(std::move(inner)), watch_(watch) {}

  void run(const comm::Operation& operation) override {
    if (watch_.before) watch_.before(group(), operation);
    inner_->run(operation);
    if (watch_.after) watch_.after(group(), operation);
  }
  std::unique_ptr<comm::Transport> split(comm::SplitRequest request, std::string axis) override {
    return std::make_unique<WatchedTransport>(inner_->split(request, std::move(axis)), watch_);
  }
  void abort(std::string_view reason) noexcept override { inner_->abort(reason); }

 private:
  std::unique_ptr<comm::Transport> inner_;
  const Watch& watch_;
};

// watches [rank], to outlive the ranks.
inline Worlds watched_worlds(const std::vector<Watch>& watches, double timeout_s = 60) {
  Worlds worlds;
  for (auto& transport :
       comm::make_thread_transports(static_cast<int>(watches.size()), timeout_s)) {
    worlds.push_back(std::make_unique<comm::Communicator>(
        std::make_unique<WatchedTransport>(std::move(transport), watches[worlds.size()])));
  }
  return worlds;
}

}  // namespace tera::test
