// Where ranks that are threads of one process meet: what they share, and how they wait.
// One lock and one condition for the whole world: with as many ranks as threads make sense, waking
// a rank too many costs less than the bookkeeping to avoid it, and an abort reaches everybody.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/comm/announcement.h"
#include "core/comm/parcel.h"

namespace tera::comm {

// What all groups split from one another share.
class ThreadWorld {
 public:
  explicit ThreadWorld(double timeout_s) : timeout_s_(timeout_s) {}

  double timeout_s() const { return timeout_s_; }
  std::mutex& mutex() { return mutex_; }
  std::unique_lock<std::mutex> lock();  // of ranks that meet at the same moment
  void abort(std::string_view reason) noexcept;

  // The rest holds the lock.
  bool aborted() const { return aborted_; }
  void abort_locked(std::string_view reason) noexcept;  // the first reason stays
  // CommunicationError when somebody aborted; `what` says who notices it, and doing what.
  void throw_if_aborted(const std::string& what) const;
  void wake() { changed_.notify_all(); }
  // False when the time is over.
  template <class Done>
  bool wait(std::unique_lock<std::mutex>& lock, Done done) {
    const auto limit = std::chrono::duration<double>(timeout_s_);
    return changed_.wait_for(lock, limit, std::move(done));
  }
  template <class Done>
  void wait_without_limit(std::unique_lock<std::mutex>& lock, Done done) {
    changed_.wait(lock, std::move(done));
  }

 private:
  const double timeout_s_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> aborted_ = false;
  std::string reason_;
};

// What a rank brings to a collective, readable by its peers between the two meetings.
struct ThreadCall {
  Announcement announced;
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  std::vector<std::int64_t> send_rows;
  std::vector<std::int64_t> recv_rows;
};

struct ThreadMessage {
  MailHeader header;
  std::vector<std::byte> bytes;
};

// Every collective has the same three beats: each rank brings its call and all meet; each rank does
// its part straight from its peers' memory; all meet again. Memory stays valid through the second
// meeting because nothing can fail between the two: what may disagree is compared first, by all
// ranks alike, on values copied into the group; and an abort stops a rank before the first meeting
// is complete or after the second, never between.
class ThreadGroup {
 public:
  ThreadGroup(std::shared_ptr<ThreadWorld> world, int size);

  ThreadWorld& world() { return *world_; }
  const std::shared_ptr<ThreadWorld>& shared_world() const { return world_; }
  const ThreadCall& call(int member) const { return calls_[static_cast<std::size_t>(member)]; }

  // First meeting of the member `group.rank`: shows its call to its peers and waits for theirs. All
  // must have made the same call with tensors alike.
  void begin(const Group& group, ThreadCall mine);
  // Second meeting: returns when no peer reads or writes this rank's memory any more.
  void finish(int member);

  // Of a split, between its meetings: groups by their first member in this one.
  std::vector<std::shared_ptr<ThreadGroup>> children;
  // By (from, to); under the lock.
  std::map<std::pair<int, int>, std::deque<ThreadMessage>> mail;

 private:
  struct alignas(64) Arrivals {  // meetings a member has come to, on a cache line of its own
    std::atomic<std::uint64_t> count = 0;
  };
  std::uint64_t arrive(int member);
  bool complete(std::uint64_t meeting) const;
  // Whether the meeting became complete within the time of a context switch.
  bool spin(std::uint64_t meeting) const;
  std::vector<int> missing_at(const Group& group, std::uint64_t meeting) const;

  const std::shared_ptr<ThreadWorld> world_;
  const bool has_processors_;  // for all members at the same time
  std::vector<Arrivals> arrivals_;
  std::vector<ThreadCall> calls_;
};

}  // namespace tera::comm
