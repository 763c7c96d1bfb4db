#include "core/comm/thread_group.h"

#include <chrono>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "core/comm/peer_aborted.h"

namespace tera::comm {
namespace {

// A few times what it takes to wake a thread. With less, ranks that fell asleep once hardly find
// back: who is woken is late for the next meeting, and its peer is asleep by then.
constexpr std::chrono::microseconds kSpin(200);
constexpr int kLockTries = 1000;

}  // namespace

std::unique_lock<std::mutex> ThreadWorld::lock() {
  // Held for less than a microsecond: to sleep until it is free takes a hundred times that.
  for (int i = 0; i < kLockTries; ++i) {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock) return lock;
  }
  return std::unique_lock(mutex_);
}

void ThreadWorld::abort(std::string_view reason) noexcept {
  const std::scoped_lock lock(mutex_);
  abort_locked(reason);
}

void ThreadWorld::abort_locked(std::string_view reason) noexcept {
  if (!aborted_.exchange(true)) {
    try {
      reason_ = reason;
    } catch (const std::bad_alloc&) {
      reason_.clear();
    }
  }
  changed_.notify_all();
}

void ThreadWorld::throw_if_aborted(const std::string& what) const {
  if (aborted_) throw PeerAborted(what, reason_);
}

ThreadGroup::ThreadGroup(std::shared_ptr<ThreadWorld> world, int size)
    : children(static_cast<std::size_t>(size)),
      world_(std::move(world)),
      has_processors_(size <= ThreadPool::available_processors()),
      arrivals_(static_cast<std::size_t>(size)),
      calls_(static_cast<std::size_t>(size)) {}

void ThreadGroup::begin(const Group& group, ThreadCall mine) {
  const OperationKind kind = mine.announced.kind;
  std::uint64_t meeting = 0;
  {
    const std::unique_lock lock = world_->lock();
    if (world_->aborted()) world_->throw_if_aborted(place_of(group, kind));
    calls_[static_cast<std::size_t>(group.rank)] = std::move(mine);
    meeting = arrive(group.rank);  // nobody arrives once the world has ended
  }
  if (!spin(meeting)) {
    std::unique_lock lock(world_->mutex());
    world_->wait(lock, [&] { return world_->aborted() || complete(meeting); });
    if (!complete(meeting)) {
      world_->throw_if_aborted(place_of(group, kind));
      const std::string reason =
          fmt::format("{} waited {} s for {}", place_of(group, kind), world_->timeout_s(),
                      rank_list(missing_at(group, meeting)));
      world_->abort_locked(reason);
      throw CommunicationError(reason);
    }
  }
  std::vector<Announcement> announced;
  for (const ThreadCall& call : calls_)
    announced.push_back(call.announced);
  if (const std::string reason = disagreement(group, announced); !reason.empty()) {
    world_->abort(reason);
    throw CommunicationError(reason);
  }
}

void ThreadGroup::finish(int member) {
  std::uint64_t meeting = 0;
  {
    const std::unique_lock lock = world_->lock();
    meeting = arrive(member);
  }
  if (spin(meeting)) return;
  // Peers are at work and come for certain, so there is neither timeout nor abort.
  std::unique_lock lock(world_->mutex());
  world_->wait_without_limit(lock, [&] { return complete(meeting); });
}

std::uint64_t ThreadGroup::arrive(int member) {
  const std::uint64_t meeting = ++arrivals_[static_cast<std::size_t>(member)].count;
  if (complete(meeting)) world_->wake();
  return meeting;
}

bool ThreadGroup::complete(std::uint64_t meeting) const {
  for (const Arrivals& each : arrivals_) {
    if (each.count.load(std::memory_order_acquire) < meeting) return false;
  }
  return true;
}

bool ThreadGroup::spin(std::uint64_t meeting) const {
  if (!has_processors_) return complete(meeting);
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (!complete(meeting)) {
    if (std::chrono::steady_clock::now() >= end) return false;
  }
  return true;
}

std::vector<int> ThreadGroup::missing_at(const Group& group, std::uint64_t meeting) const {
  std::vector<int> ranks;
  for (std::size_t r = 0; r < arrivals_.size(); ++r) {
    if (arrivals_[r].count.load() < meeting) ranks.push_back(group.ranks[r]);
  }
  return ranks;
}

}  // namespace tera::comm
