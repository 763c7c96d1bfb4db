// What the processes of a job tell each other beside their work: that one gives up, and who waits
// for whom.
#include <algorithm>
#include <set>
#include <span>

#include "core/comm/mpi_calls.h"
#include "core/comm/mpi_process.h"
#include "core/comm/patience.h"
#include "core/comm/peer_aborted.h"

namespace tera::comm {
namespace {

// Ranks that wait answer within milliseconds.
constexpr double kAnswerS = 1;
// What control messages begin with.
constexpr char kAbort = 'a';
constexpr char kQuestion = 'q';
constexpr char kAnswer = 'w';

}  // namespace

void MpiProcess::abort(std::string_view reason) noexcept {
  try {
    const std::scoped_lock lock(mutex_);
    if (!aborted_) abort_locked(reason);
  } catch (const std::exception&) {
    aborted_ = true;  // peers find out by their timeout
  }
}

void MpiProcess::fail(const std::string& reason) {
  abort(reason);
  throw CommunicationError(reason);
}

std::string MpiProcess::why_stuck(const RankWait& stuck) {
  std::set<int> asked;
  const auto waiting_for = [&](const std::vector<int>& ranks) {
    return std::any_of(ranks.begin(), ranks.end(), [&](int r) { return !heard_.contains(r); });
  };
  while (true) {
    std::vector<int> ranks;
    {
      const std::scoped_lock lock(mutex_);
      for (const int r : unheard(rank_, stuck, heard_)) {
        if (!asked.insert(r).second) continue;
        ranks.push_back(r);
        tell(r, kQuestion, {});
      }
      if (ranks.empty()) return stuck_text(rank_, stuck, heard_);
    }
    Patience patience;
    for (bool waits = true; waits && patience.waited_s() < kAnswerS; patience.pause()) {
      const std::scoped_lock lock(mutex_);
      if (aborted_) throw PeerAborted(stuck.where, reason_);
      listen();
      waits = waiting_for(ranks);
    }
  }
}

void MpiProcess::throw_if_aborted(const Place& where) const {
  if (aborted_) throw PeerAborted(where.text(), reason_);
}

void MpiProcess::abort_locked(std::string_view reason) {
  aborted_ = true;
  gave_up_ = true;
  reason_ = reason;
  for (int r = 0; r < size_; ++r) {
    if (r != rank_) tell(r, kAbort, reason);
  }
}

void MpiProcess::tell(int rank, char kind, std::string_view text) {
  std::vector<std::byte> message(1 + text.size(), static_cast<std::byte>(kind));
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  std::copy(bytes.begin(), bytes.end(), message.begin() + 1);
  start_copy(control_, std::move(message), rank, 0);
}

void MpiProcess::answer(int rank) {
  std::vector<RankWait> waits;
  for (const Messages* messages : waits_) {
    if (!messages->requests_.empty()) waits.push_back(messages->state());
  }
  tell(rank, kAnswer, pack_waits(waits));
}

void MpiProcess::listen() {
  int found = 0;
  MPI_Status status;
  check(MPI_Iprobe(MPI_ANY_SOURCE, 0, control_, &found, &status), "MPI_Iprobe");
  if (found == 0) return;
  int length = 0;
  MPI_Get_count(&status, MPI_BYTE, &length);
  std::string message(static_cast<std::size_t>(length), '\0');
  const int from = status.MPI_SOURCE;
  check(MPI_Recv(message.data(), length, MPI_BYTE, from, 0, control_, MPI_STATUS_IGNORE),
        "MPI_Recv");
  const std::string text = message.substr(1);
  switch (message.front()) {
    case kQuestion:
      return answer(from);
    case kAnswer:
      heard_[from] = unpack_waits(text);
      return;
    default:
      aborted_ = true;
      reason_ = text;
  }
}

}  // namespace tera::comm
