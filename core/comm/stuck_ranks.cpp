#include "core/comm/stuck_ranks.h"

#include <sstream>

#include <fmt/format.h>

#include "core/comm/transport.h"

namespace tera::comm {
namespace {

// Of a ring that waits for itself: enough to see what is wrong.
constexpr std::size_t kMaxLinks = 8;

std::string text_of(const RankWait& wait) {
  return fmt::format("{} waited {:.3g} s for {}", wait.where, wait.seconds, rank_list(wait.ranks));
}

// Ranks that `stuck` waits for, in steps: those it waits for itself, then those these wait for.
struct Reached {
  std::vector<int> order;
  std::map<int, const RankWait*> by;  // what waits for this rank
  std::map<int, int> from;            // and of whom that is
};

Reached reach(int rank, const RankWait& stuck, const HeardWaits& heard) {
  Reached reached;
  const auto follow = [&](int waiting, const RankWait& wait) {
    for (const int each : wait.ranks) {
      if (each == rank || !reached.by.emplace(each, &wait).second) continue;
      reached.from.emplace(each, waiting);
      reached.order.push_back(each);
    }
  };
  follow(rank, stuck);
  for (std::size_t i = 0; i < reached.order.size(); ++i) {
    const auto waits = heard.find(reached.order[i]);
    if (waits == heard.end()) continue;
    for (const RankWait& wait : waits->second)
      follow(waits->first, wait);
  }
  return reached;
}

}  // namespace

std::string pack_waits(const std::vector<RankWait>& waits) {
  std::string bytes;
  for (const RankWait& wait : waits)
    bytes += fmt::format("{}\n{} {}\n", wait.where, wait.seconds, fmt::join(wait.ranks, " "));
  return bytes;
}

std::vector<RankWait> unpack_waits(std::string_view bytes) {
  std::istringstream lines{std::string(bytes)};
  std::vector<RankWait> waits;
  RankWait wait;
  for (std::string numbers; std::getline(lines, wait.where) && std::getline(lines, numbers);) {
    std::istringstream words(numbers);
    words >> wait.seconds;
    wait.ranks.clear();
    for (int rank = 0; words >> rank;)
      wait.ranks.push_back(rank);
    waits.push_back(wait);
  }
  return waits;
}

std::vector<int> unheard(int rank, const RankWait& stuck, const HeardWaits& heard) {
  std::vector<int> ranks;
  for (const int each : reach(rank, stuck, heard).order) {
    if (!heard.contains(each)) ranks.push_back(each);
  }
  return ranks;
}

std::string stuck_text(int rank, const RankWait& stuck, const HeardWaits& heard) {
  const std::vector<int> silent = unheard(rank, stuck, heard);
  const Reached reached = reach(rank, stuck, heard);
  std::string text;
  if (!silent.empty()) {
    text = fmt::format("{} {} not answer", rank_list(silent), silent.size() == 1 ? "does" : "do");
    for (int at = silent.front(); at != rank; at = reached.from.at(at))
      text += (at == silent.front() ? ": " : "; ") + text_of(*reached.by.at(at));
    return text;
  }
  std::vector<int> ring = reached.order;
  ring.push_back(rank);
  text = fmt::format("{} wait for each other: {}", rank_list(ring), text_of(stuck));
  for (std::size_t i = 0; i < reached.order.size() && i < kMaxLinks; ++i) {
    for (const RankWait& wait : heard.at(reached.order[i]))
      text += "; " + text_of(wait);
  }
  return text;
}

}  // namespace tera::comm
