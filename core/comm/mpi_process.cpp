#include "core/comm/mpi_process.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/thread_pool.h"
#include "core/comm/mpi_calls.h"
#include "core/comm/mpi_greeting.h"
#include "core/comm/mpi_program.h"
#include "core/comm/patience.h"

namespace tera::comm {
namespace {

// Counts of MPI are int.
constexpr std::int64_t kMaxMessageBytes = 1 << 30;

// mpirun stops all others when one process has failed: it stays this long for them to hear of it
// and say so.
constexpr double kFarewellS = 0.5;

// A rank whose waits are all short hears others too.
constexpr std::int64_t kLooksToListen = 64;

// Messages within a computer that go at once, where others are asked for first: greetings with all
// that they carry are among them. Open MPI's own limit is 4 KiB, or 32 KiB with XPMEM (ompi_info
// --param btl vader --level 4; the part is called sm from version 5 on, vader as well). Who sets
// another in the environment, or by mpirun --mca, keeps it.
constexpr int kAtOnceBytes = 16384;
static_assert(sizeof(Greeting) + kMostCarriedBytes < kAtOnceBytes);
void send_greetings_at_once() {
  constexpr std::array kNames = {"OMPI_MCA_btl_vader_eager_limit", "OMPI_MCA_btl_sm_eager_limit"};
  if (std::any_of(kNames.begin(), kNames.end(), [](const char* name) { return std::getenv(name); }))
    return;
  const std::string limit = std::to_string(kAtOnceBytes);
  for (const char* name : kNames)
    ::setenv(name, limit.c_str(), 0);
}

}  // namespace

MpiProcess::MpiProcess(double timeout_s) : timeout_s_(timeout_s) {
  send_greetings_at_once();
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_SERIALIZED) {
    MPI_Finalize();
    throw CommunicationError(
        fmt::format("this MPI serves threads at level {}, expected MPI_THREAD_SERIALIZED ({})",
                    provided, MPI_THREAD_SERIALIZED));
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  check(MPI_Comm_dup(MPI_COMM_WORLD, &data_), "MPI_Comm_dup");
  check(MPI_Comm_dup(MPI_COMM_WORLD, &control_), "MPI_Comm_dup");
  MPI_Comm_rank(data_, &rank_);
  MPI_Comm_size(data_, &size_);
  require_same_program(data_);
  MPI_Comm node = MPI_COMM_NULL;
  check(MPI_Comm_split_type(data_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node),
        "MPI_Comm_split_type");
  int neighbours = 0;
  MPI_Comm_size(node, &neighbours);
  MPI_Comm_free(&node);
  has_processor_ = neighbours <= ThreadPool::available_processors();
  void* highest = nullptr;
  int found = 0;
  MPI_Comm_get_attr(data_, MPI_TAG_UB, &highest, &found);
  most_groups_ = (found != 0 ? *static_cast<int*>(highest) : 32767) / kTagsPerGroup;
}

MpiProcess::~MpiProcess() {
  if (!aborted_) {
    drain(copies_, timeout_s_);
    leave_together();
  }
  if (aborted_) {
    // Who gave up leaves first: its exit code is the job's.
    drain(told_, kFarewellS);
    const double stay_s = gave_up_ ? kFarewellS : 2 * kFarewellS;
    std::this_thread::sleep_for(std::chrono::duration<double>(stay_s));
    return;  // MPI_Finalize would wait for ranks that never come
  }
  MPI_Comm_free(&control_);
  MPI_Comm_free(&data_);
  MPI_Finalize();
}

void MpiProcess::leave_together() noexcept {
  try {
    Group world{.axis = "world", .ranks = {}, .rank = rank_};
    for (int r = 0; r < size_; ++r)
      world.ranks.push_back(r);
    constexpr int kFarewell = kTagsPerGroup - 1;  // of group 0, whose collectives have the others
    const Place where = {&world, OperationKind::barrier};
    std::vector<std::byte> words(world.ranks.size());
    const auto each = [&](const auto& say) {
      Messages messages(*this);
      for (int r = 1; r < size_; ++r)
        say(messages, r);
      messages.wait(where);
    };
    if (rank_ > 0) {
      Messages messages(*this);
      messages.send(words.data(), 1, 0, kFarewell);
      messages.receive(words.data() + rank_, 1, 0, kFarewell);
      return messages.wait(where);
    }
    each([&](Messages& all, int r) { all.receive(words.data() + r, 1, r, kFarewell); });
    each([&](Messages& all, int r) { all.send(words.data() + r, 1, r, kFarewell); });
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    abort(error.what());
  }
}

MpiProcess::Messages::~Messages() {
  // Only after an error is anything left: nothing may be written into this memory any more.
  const std::scoped_lock lock(process_.mutex_);
  std::erase(process_.waits_, this);
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    if (!peers_[i].receives) {
      MPI_Request_free(&requests_[i]);
      continue;
    }
    MPI_Cancel(&requests_[i]);
    MPI_Request_free(&requests_[i]);
  }
}

void MpiProcess::Messages::send(const void* data, std::int64_t bytes, int to, int tag) {
  const std::scoped_lock lock(process_.mutex_);
  for (std::int64_t at = 0; at < bytes; at += kMaxMessageBytes) {
    MPI_Request request = MPI_REQUEST_NULL;
    const auto count = static_cast<int>(std::min(kMaxMessageBytes, bytes - at));
    check(MPI_Isend(static_cast<const std::byte*>(data) + at, count, MPI_BYTE, to, tag,
                    process_.data_, &request),
          "MPI_Isend");
    requests_.push_back(request);
    peers_.push_back({to, false});
  }
}

void MpiProcess::Messages::receive(void* data, std::int64_t bytes, int from, int tag) {
  const std::scoped_lock lock(process_.mutex_);
  for (std::int64_t at = 0; at < bytes; at += kMaxMessageBytes) {
    MPI_Request request = MPI_REQUEST_NULL;
    const auto count = static_cast<int>(std::min(kMaxMessageBytes, bytes - at));
    check(MPI_Irecv(static_cast<std::byte*>(data) + at, count, MPI_BYTE, from, tag, process_.data_,
                    &request),
          "MPI_Irecv");
    requests_.push_back(request);
    peers_.push_back({from, true});
  }
}

void MpiProcess::Messages::wait(const Place& where) {
  Patience patience(process_.has_processor_);
  where_ = where;
  since_s_ = patience.start_s();
  bool known = false;
  while (true) {
    RankWait stuck;
    {
      const std::scoped_lock lock(process_.mutex_);
      if (!known) process_.waits_.push_back(this);
      known = true;
      process_.throw_if_aborted(where);
      for (std::size_t i = requests_.size(); i-- > 0;) {
        int done = 0;
        const int code = MPI_Test(&requests_[i], &done, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS) check(code, where.text());
        if (done != 0) forget(i);
      }
      if (requests_.empty()) return;
      process_.reap(process_.copies_);
      if (++process_.looks_ % kLooksToListen == 0 || patience.listens()) process_.listen();
      if (patience.waited_s() > process_.timeout_s_) stuck = state();
    }
    if (!stuck.ranks.empty()) process_.fail(process_.why_stuck(stuck));
    patience.pause();
  }
}

void MpiProcess::Messages::forget(std::size_t i) {
  requests_[i] = requests_.back();
  peers_[i] = peers_.back();
  requests_.pop_back();
  peers_.pop_back();
}

RankWait MpiProcess::Messages::state() const {
  const bool receives =
      std::any_of(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.receives; });
  std::vector<int> ranks;
  for (const Peer& peer : peers_) {
    if (peer.receives == receives) ranks.push_back(peer.rank);
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  return {.where = where_.text(), .ranks = std::move(ranks), .seconds = monotonic_s() - since_s_};
}

void MpiProcess::send_copy(std::vector<std::byte> message, int to, int tag, const Place& where) {
  const std::scoped_lock lock(mutex_);
  throw_if_aborted(where);
  reap(copies_);
  start_copy(data_, std::move(message), to, tag);
}

int MpiProcess::offer_group_number() {
  const std::scoped_lock lock(mutex_);
  return next_group_;
}

void MpiProcess::take_group_number(int number) {
  const std::scoped_lock lock(mutex_);
  if (number >= most_groups_)
    throw CommunicationError(
        fmt::format("group {}: this MPI has tags for {} groups", number, most_groups_));
  next_group_ = number + 1;
}

void MpiProcess::reap(std::deque<Outgoing>& messages) const {
  while (!messages.empty()) {
    int done = 0;
    check(MPI_Test(&messages.front().request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done == 0) return;
    messages.pop_front();
  }
}

void MpiProcess::start_copy(MPI_Comm comm, std::vector<std::byte> message, int to, int tag) {
  std::deque<Outgoing>& list = comm == control_ ? told_ : copies_;
  for (std::size_t at = 0; at == 0 || at < message.size(); at += kMaxMessageBytes) {
    const std::size_t end = std::min<std::size_t>(message.size(), at + kMaxMessageBytes);
    const bool whole = at == 0 && end == message.size();
    const auto part = [&](std::size_t place) {
      return message.begin() + static_cast<std::ptrdiff_t>(place);
    };
    Outgoing& out = list.emplace_back();
    out.bytes = whole ? std::move(message) : std::vector<std::byte>(part(at), part(end));
    check(MPI_Isend(out.bytes.data(), static_cast<int>(out.bytes.size()), MPI_BYTE, to, tag, comm,
                    &out.request),
          "MPI_Isend");
    if (whole) return;
  }
}

void MpiProcess::drain(std::deque<Outgoing>& messages, double seconds) noexcept {
  try {
    Patience patience;
    while (patience.waited_s() < seconds) {
      {
        const std::scoped_lock lock(mutex_);
        reap(messages);
        if (messages.empty()) return;
      }
      patience.pause();
    }
  } catch (const std::exception&) {  // the end of the job, in peace or not
  }
}

}  // namespace tera::comm
