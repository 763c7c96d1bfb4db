#include "core/comm/nccl_process.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/comm/patience.h"
#include "core/comm/peer_aborted.h"

namespace tera::comm {
namespace {

// How often a rank that waits asks the store whether the others have given up.
constexpr double kListenS = 0.1;
// Ranks that wait see a question within kListenS; theirs and the answer take a fraction of it.
constexpr double kAnswerS = 1;
// Of a rank that joins: how often it looks for the others.
constexpr double kFirstLookS = 1e-3;
constexpr double kLastLookS = 50e-3;

// In the store.
constexpr const char* kAbort = "abort";
constexpr const char* kQuestion = "stuck";
std::string waits_of(int rank) {
  return fmt::format("waits.{}", rank);
}

}  // namespace

std::string joins_key(const std::string& name, int rank) {
  return fmt::format("joins.{}.{}", name, rank);
}

NcclProcess::NcclProcess(std::unique_ptr<NcclDevice> device,
                         std::unique_ptr<Store> store,
                         int rank,
                         double timeout_s)
    : device_(std::move(device)), store_(std::move(store)), rank_(rank), timeout_s_(timeout_s) {}

NcclProcess::~NcclProcess() {
  store_->leave(aborted_ ? kAnswerS : timeout_s_);
}

void NcclProcess::wait(const Place& where, const std::vector<int>& ranks, const Done& done) {
  if (look(where, done)) return;
  const Waiting waiting = {where, &ranks, monotonic_s()};
  std::list<Waiting>::iterator listed;
  {
    const std::scoped_lock lock(mutex_);
    listed = waits_.insert(waits_.end(), waiting);
  }
  const auto forget = [&] {
    const std::scoped_lock lock(mutex_);
    waits_.erase(listed);
  };
  try {
    for (Patience patience; !look(where, done); patience.pause()) {
      if (patience.waited_s() > timeout_s_) fail(why_stuck(waiting));
    }
  } catch (...) {
    forget();
    throw;
  }
  forget();
}

void NcclProcess::wait_in_background(const Place& where, const Done& done) {
  for (Patience patience; !look(where, done); patience.pause()) {
  }
}

bool NcclProcess::look(const Place& where, const Done& done) {
  throw_if_aborted(where);
  try {
    if (done()) return true;
    listen();
    return false;
  } catch (const CommunicationError& error) {
    // A peer that gives up takes its end of the connection along before its word is heard.
    try {
      for (Patience patience; patience.waited_s() < 2 * kListenS; patience.pause()) {
        throw_if_aborted(where);
        listen();
      }
      hear_abort();  // however long this thread slept in between
      throw_if_aborted(where);
    } catch (const PeerAborted&) {
      throw;
    } catch (const CommunicationError&) {  // of the store: the first is nearer to the cause
    }
    fail(fmt::format("{}: {}", where.text(), error.what()));
  }
}

std::unique_ptr<NcclComm> NcclProcess::join(const std::string& name,
                                            int size,
                                            int rank,
                                            const Wait& wait) {
  double pause_s = kFirstLookS;
  double next_s = 0;
  std::optional<std::string> value;
  const auto wait_for = [&](const std::string& key) {
    wait([&] {
      if (monotonic_s() < next_s) return false;
      value = store_->get(key);
      next_s = value ? 0 : monotonic_s() + pause_s;
      pause_s = std::min(2 * pause_s, kLastLookS);
      return value.has_value();
    });
  };
  // The first member makes the id when all are there: who waits for it waits in the store, where
  // it hears of an end, and not in NCCL.
  const std::string id_key = "id." + name;
  const auto leave = [&](const std::string& key, std::string_view what) {
    if (!store_->set(key, what))
      fail(fmt::format("{}: {} was set before: a store serves one job", store_->text(), key));
  };
  NcclId id = {};
  if (rank == 0) {
    for (int r = 1; r < size; ++r)
      wait_for(joins_key(name, r));
    wait([&] {
      id = device_->make_id();
      return true;
    });
    leave(id_key, {id.data(), id.size()});
  } else {
    leave(joins_key(name, rank), "");
    wait_for(id_key);
    value->resize(id.size());
    std::copy(value->begin(), value->end(), id.begin());
  }
  std::unique_ptr<NcclComm> comm;
  wait([&] {
    if (!comm) comm = device_->join(id, size, rank);
    return comm->done();
  });
  return comm;
}

bool NcclProcess::aborted() {
  const std::scoped_lock lock(mutex_);
  return aborted_;
}

void NcclProcess::throw_if_aborted(const Place& where) {
  const std::scoped_lock lock(mutex_);
  if (aborted_) throw PeerAborted(where.text(), reason_);
}

void NcclProcess::abort(std::string_view reason) noexcept {
  try {
    {
      const std::scoped_lock lock(mutex_);
      if (aborted_) return;
      aborted_ = true;
      reason_ = reason;
    }
    store_->set(kAbort, reason.substr(0, Store::kMaxStoredBytes));
  } catch (const std::exception&) {  // peers find out by their timeout
  }
}

void NcclProcess::fail(const std::string& reason) {
  abort(reason);
  throw CommunicationError(reason);
}

RankWait NcclProcess::Waiting::now() const {
  return {.where = where.text(), .ranks = *ranks, .seconds = monotonic_s() - since_s};
}

bool NcclProcess::hear_abort() {
  const std::optional<std::string> reason = store_->get(kAbort);
  if (!reason) return false;
  const std::scoped_lock lock(mutex_);
  if (!aborted_) reason_ = *reason;
  aborted_ = true;
  return true;
}

void NcclProcess::listen() {
  bool answers = false;
  {
    const std::scoped_lock lock(mutex_);
    const double now_s = monotonic_s();
    if (next_listen_s_ == 0) next_listen_s_ = now_s + kListenS;
    if (now_s < next_listen_s_) return;
    next_listen_s_ = now_s + kListenS;
    answers = !answered_;
  }
  if (hear_abort() || !answers || !store_->get(kQuestion)) return;
  std::vector<RankWait> waits;
  {
    const std::scoped_lock lock(mutex_);
    if (waits_.empty()) return;  // others wait for what it computes
    answered_ = true;
    for (const Waiting& each : waits_)
      waits.push_back(each.now());
  }
  store_->set(waits_of(rank_), pack_waits(waits));
}

std::string NcclProcess::why_stuck(const Waiting& waiting) {
  const RankWait stuck = waiting.now();
  HeardWaits heard;
  std::string lost;
  try {
    ask_who_waits(waiting.where, stuck, heard);
  } catch (const PeerAborted&) {
    throw;
  } catch (const CommunicationError& error) {  // of the store: this rank is stuck all the same
    lost = fmt::format("; {}", error.what());
  }
  return stuck_text(rank_, stuck, heard) + lost;
}

void NcclProcess::ask_who_waits(const Place& where, const RankWait& stuck, HeardWaits& heard) {
  store_->set(kQuestion, std::to_string(rank_));
  const double begin_s = monotonic_s();
  while (monotonic_s() - begin_s < kAnswerS) {
    listen();
    throw_if_aborted(where);
    const std::vector<int> silent = unheard(rank_, stuck, heard);
    if (silent.empty()) return;
    for (const int r : silent) {
      if (const std::optional<std::string> waits = store_->get(waits_of(r)))
        heard[r] = unpack_waits(*waits);
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(kListenS / 10));
  }
}

}  // namespace tera::comm
