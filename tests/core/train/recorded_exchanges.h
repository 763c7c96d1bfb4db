// Ranks that are threads, and record which rows of experts they tell each other they have.
#pragma once
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/comm/transport.h"
#include "core/plan/step_traffic.h"
#include "tests/support/spawn_ranks.h"

namespace tera::train::test {

using Exchanges = std::vector<plan::ExpertCounts>;  // of one rank

// Passes everything on, and notes what the ranks that share out experts gather of counts.
class RecordingTransport final : public comm::Transport {
 public:
  RecordingTransport(std::unique_ptr<comm::Transport> inner, Exchanges& exchanges)
      : Transport(inner->group()), inner_(std::move(inner)), exchanges_(exchanges) {}

  void run(const comm::Operation& operation) override {
    inner_->run(operation);
    const bool counts = group().axis == "expert" && operation.to.dtype() == DType::i64 &&
                        operation.kind == comm::OperationKind::all_gather;
    if (!counts) return;
    const auto* begin = operation.to.data<const std::int64_t>();
    exchanges_.emplace_back(begin, begin + operation.to.num_elements());
  }
  std::unique_ptr<comm::Transport> split(comm::SplitRequest request, std::string axis) override {
    return std::make_unique<RecordingTransport>(inner_->split(request, std::move(axis)),
                                                exchanges_);
  }
  void abort(std::string_view reason) noexcept override { inner_->abort(reason); }

 private:
  std::unique_ptr<comm::Transport> inner_;
  Exchanges& exchanges_;
};

// exchanges [rank], to outlive the ranks.
inline tera::test::Worlds recording_worlds(std::vector<Exchanges>& exchanges) {
  tera::test::Worlds worlds;
  std::size_t rank = 0;
  for (auto& transport : comm::make_thread_transports(static_cast<int>(exchanges.size()), 60)) {
    worlds.push_back(std::make_unique<comm::Communicator>(
        std::make_unique<RecordingTransport>(std::move(transport), exchanges[rank++])));
  }
  return worlds;
}

// Of what was recorded each exchange once: a second forward tells the same again.
inline Exchanges without_recomputed(Exchanges recorded, bool recomputes) {
  if (!recomputes) return recorded;
  std::sort(recorded.begin(), recorded.end());
  Exchanges once;
  for (std::size_t i = 0; i < recorded.size(); i += 2)
    once.push_back(recorded[i]);
  return once;
}

}  // namespace tera::train::test
