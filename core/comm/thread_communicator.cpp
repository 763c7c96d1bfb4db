// Ranks as threads of one process. Every collective has the same three beats: each rank posts what
// it brings and all meet; each rank does its part straight from its peers' memory; all meet again.
// Memory stays valid through the second meeting because nothing can fail between the two: what may
// disagree is compared first, by all ranks alike, on values copied into the group; and an abort
// stops a rank before the first meeting is complete or after the second, never between.
// One lock and one condition for the whole world: with as many ranks as threads make sense, waking
// a rank too many costs less than the bookkeeping to avoid it, and an abort reaches everybody.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/comm/collective_checks.h"
#include "core/comm/communicator.h"

namespace tera::comm {
namespace {

using Clock = std::chrono::steady_clock;

// What all groups split from one another share. Groups read and write under its mutex.
struct World {
  explicit World(double timeout) : timeout_s(timeout) {}
  const double timeout_s;
  std::mutex mutex;
  std::condition_variable changed;
  bool aborted = false;
  std::string reason;

  void abort_locked(std::string_view why) noexcept {
    if (!std::exchange(aborted, true)) {
      try {
        reason = why;
      } catch (const std::bad_alloc&) {
        reason.clear();
      }
    }
    changed.notify_all();
  }
};

// What a rank brings to a collective, readable by its peers between the two meetings.
struct Call {
  const char* what = "";
  std::byte* data = nullptr;
  DType dtype = DType::u8;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> send_rows;
  std::vector<std::int64_t> recv_rows;
  std::int64_t argument = 0;  // reduction, root, or color
  int key = 0;
};

Call call_with(const char* what, const Tensor& x, std::int64_t argument = 0) {
  return {.what = what,
          .data = static_cast<std::byte*>(x.view().data),
          .dtype = x.dtype(),
          .shape = x.shape(),
          .send_rows = {},
          .recv_rows = {},
          .argument = argument};
}

struct Group {
  Group(std::shared_ptr<World> shared, int num_ranks, std::string label)
      : world(std::move(shared)),
        size(num_ranks),
        name(std::move(label)),
        arrivals(static_cast<std::size_t>(num_ranks)),
        calls(static_cast<std::size_t>(num_ranks)),
        children(static_cast<std::size_t>(num_ranks)) {}

  const std::shared_ptr<World> world;
  const int size;
  const std::string name;
  std::vector<std::uint64_t> arrivals;  // meetings each rank has come to
  std::vector<Call> calls;
  std::vector<std::shared_ptr<Group>> children;  // of a split, at the first rank of each color
  struct Message {
    DType dtype;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;
  };
  std::map<std::pair<int, int>, std::deque<Message>> mail;  // by (from, to)
};

std::string rank_list(const std::vector<int>& ranks) {
  return fmt::format("{} {}", ranks.size() == 1 ? "rank" : "ranks", fmt::join(ranks, ", "));
}

template <class T>
T combine(Reduce op, T a, T b) {
  if (op == Reduce::sum) return a + b;
  return op == Reduce::max ? std::max(a, b) : std::min(a, b);
}

// Elements [begin, end): to[i - begin] = from[0][i] op from[1][i] op ..., in rank order.
template <class T>
void reduce_range(
    const std::vector<std::byte*>& from, std::int64_t begin, std::int64_t end, Reduce op, T* to) {
  for (std::int64_t i = begin; i < end; ++i) {
    T value = reinterpret_cast<const T*>(from.front())[i];
    for (std::size_t r = 1; r < from.size(); ++r)
      value = combine(op, value, reinterpret_cast<const T*>(from[r])[i]);
    to[i - begin] = value;
  }
}

void reduce_range(DType dtype,
                  const std::vector<std::byte*>& from,
                  std::int64_t begin,
                  std::int64_t end,
                  Reduce op,
                  void* to) {
  if (dtype == DType::f64) return reduce_range(from, begin, end, op, static_cast<double*>(to));
  if (dtype == DType::i64)
    return reduce_range(from, begin, end, op, static_cast<std::int64_t*>(to));
  reduce_range(from, begin, end, op, static_cast<float*>(to));
}

void copy_bytes(void* to, const void* from, std::int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, int rank)
      : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size; }

  std::unique_ptr<Communicator> split(int color, int key) override {
    post({.what = "split",
          .shape = {},
          .send_rows = {},
          .recv_rows = {},
          .argument = color,
          .key = key});
    std::vector<int> members;  // of this rank's color, in the order of the new group
    for (int r = 0; r < size(); ++r) {
      if (call(r).argument == color) members.push_back(r);
    }
    std::stable_sort(members.begin(), members.end(),
                     [&](int a, int b) { return call(a).key < call(b).key; });
    const auto leader = static_cast<std::size_t>(members.front());
    if (members.front() == rank_) {
      group_->children[leader] =
          std::make_shared<Group>(group_->world, static_cast<int>(members.size()),
                                  fmt::format("{} color {}", group_->name, color));
    }
    finish();
    std::shared_ptr<Group> child = group_->children[leader];
    finish();  // nobody may replace the children before all have read them
    const auto place = std::find(members.begin(), members.end(), rank_) - members.begin();
    return std::make_unique<ThreadCommunicator>(std::move(child), static_cast<int>(place));
  }

  void all_reduce(Tensor& x, Reduce op) override {
    check_reducible("all_reduce", x);
    // Each rank reduces one slice for all.
    const std::int64_t begin = x.num_elements() * rank_ / size();
    const std::int64_t end = x.num_elements() * (rank_ + 1) / size();
    const std::int64_t width = dtype_bytes(x.dtype());
    std::vector<std::byte> slice(static_cast<std::size_t>((end - begin) * width));
    const std::vector<std::byte*> all = post(call_with("all_reduce", x, static_cast<int>(op)));
    reduce_range(x.dtype(), all, begin, end, op, slice.data());
    for (std::byte* to : all)
      copy_bytes(to + begin * width, slice.data(), std::ssize(slice));
    finish();
  }

  void reduce_scatter(const Tensor& x, Tensor& shard, Reduce op) override {
    check_reducible("reduce_scatter", x);
    check_shards("reduce_scatter", shard, x, size());
    const std::vector<std::byte*> all = post(call_with("reduce_scatter", x, static_cast<int>(op)));
    const std::int64_t n = shard.num_elements();
    reduce_range(x.dtype(), all, n * rank_, n * (rank_ + 1), op, shard.view().data);
    finish();
  }

  void all_gather(const Tensor& shard, Tensor& x) override {
    check_shards("all_gather", shard, x, size());
    auto* to = static_cast<std::byte*>(x.view().data);
    for (const std::byte* from : post(call_with("all_gather", shard))) {
      copy_bytes(to, from, shard.num_bytes());
      to += shard.num_bytes();
    }
    finish();
  }

  void all_to_all(const Tensor& x,
                  std::span<const std::int64_t> send_rows,
                  Tensor& y,
                  std::span<const std::int64_t> recv_rows) override {
    check_rows("all_to_all", x, send_rows, size());
    check_rows("all_to_all", y, recv_rows, size());
    TERA_CHECK(row_bytes(x) == row_bytes(y), "all_to_all: sends rows of {} bytes, receives of {}",
               row_bytes(x), row_bytes(y));
    Call mine = call_with("all_to_all", x);
    mine.shape.front() = -1;  // row counts may differ between ranks, rows may not
    mine.send_rows.assign(send_rows.begin(), send_rows.end());
    mine.recv_rows.assign(recv_rows.begin(), recv_rows.end());
    const std::vector<std::byte*> all = post(std::move(mine));
    require_matching_rows();
    auto* to = static_cast<std::byte*>(y.view().data);
    const std::int64_t width = row_bytes(x);
    for (std::size_t r = 0; r < all.size(); ++r) {
      const std::vector<std::int64_t>& sent = group_->calls[r].send_rows;
      const std::int64_t first =
          std::accumulate(sent.begin(), sent.begin() + rank_, std::int64_t{0});
      copy_bytes(to, all[r] + first * width, recv_rows[r] * width);
      to += recv_rows[r] * width;
    }
    finish();
  }

  void broadcast(Tensor& x, int root) override {
    check_contiguous("broadcast", x);
    check_rank("broadcast", root);
    const std::vector<std::byte*> all = post(call_with("broadcast", x, root));
    if (root != rank_)
      copy_bytes(x.view().data, all[static_cast<std::size_t>(root)], x.num_bytes());
    finish();
  }

  void send(const Tensor& x, int to) override {
    check_contiguous("send", x);
    check_rank("send", to);
    Group::Message message{x.dtype(), x.shape(), {}};
    const auto* bytes = static_cast<const std::byte*>(x.view().data);
    message.bytes.assign(bytes, bytes + x.num_bytes());
    World& world = *group_->world;
    const std::scoped_lock lock(world.mutex);
    throw_if_aborted("send");
    group_->mail[{rank_, to}].push_back(std::move(message));
    world.changed.notify_all();
  }

  void recv(Tensor& x, int from) override {
    check_contiguous("recv", x);
    check_rank("recv", from);
    World& world = *group_->world;
    std::unique_lock lock(world.mutex);
    std::deque<Group::Message>& box = group_->mail[{from, rank_}];
    wait(
        lock, "recv", [&] { return !box.empty(); }, [&] { return std::vector<int>{from}; });
    const Group::Message message = std::move(box.front());
    box.pop_front();
    lock.unlock();
    if (message.dtype != x.dtype() || message.shape != x.shape()) {
      fail(fmt::format("recv on {}: rank {} sent {} [{}], rank {} expects {} [{}]", group_->name,
                       from, dtype_name(message.dtype), fmt::join(message.shape, ", "), rank_,
                       dtype_name(x.dtype()), fmt::join(x.shape(), ", ")));
    }
    copy_bytes(x.view().data, message.bytes.data(), x.num_bytes());
  }

  void barrier() override {
    post({.what = "barrier", .shape = {}, .send_rows = {}, .recv_rows = {}});
    finish();
  }

  void abort(std::string_view reason) noexcept override {
    World& world = *group_->world;
    const std::scoped_lock lock(world.mutex);
    world.abort_locked(reason);
  }

 private:
  const Call& call(int r) const { return group_->calls[static_cast<std::size_t>(r)]; }

  void check_rank(const char* what, int r) const {
    TERA_CHECK(r >= 0 && r < size(), "{}: rank {} in a group of {}", what, r, size());
  }

  // Ends the run for the whole world, and says why on every rank.
  [[noreturn]] void fail(const std::string& reason) {
    abort(reason);
    throw CommunicationError(reason);
  }

  void throw_if_aborted(const char* what) const {  // holds the lock
    if (group_->world->aborted) {
      throw CommunicationError(fmt::format("{} on {}, rank {}: aborted: {}", what, group_->name,
                                           rank_, group_->world->reason));
    }
  }

  // Waits for `done` under the lock; `missing` names the ranks that keep it waiting.
  template <class Done, class Missing>
  void wait(std::unique_lock<std::mutex>& lock, const char* what, Done done, Missing missing) {
    World& world = *group_->world;
    const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                             std::chrono::duration<double>(world.timeout_s));
    world.changed.wait_until(lock, deadline, [&] { return world.aborted || done(); });
    if (done()) return;
    throw_if_aborted(what);
    const std::string reason =
        fmt::format("{} on {}: rank {} waited {} s for {}", what, group_->name, rank_,
                    world.timeout_s, rank_list(missing()));
    world.abort_locked(reason);
    throw CommunicationError(reason);
  }

  // Counts this rank in to the next meeting (holds the lock) and returns its number.
  std::uint64_t arrive() {
    group_->world->changed.notify_all();
    return ++group_->arrivals[static_cast<std::size_t>(rank_)];
  }

  std::vector<int> missing_at(std::uint64_t meeting) const {
    std::vector<int> ranks;
    for (int r = 0; r < size(); ++r) {
      if (group_->arrivals[static_cast<std::size_t>(r)] < meeting) ranks.push_back(r);
    }
    return ranks;
  }

  // First meeting: shows this rank's call to its peers and waits for theirs. All must have made the
  // same call with tensors alike. Returns the data of every rank.
  std::vector<std::byte*> post(Call mine) {
    const char* what = mine.what;
    std::vector<std::byte*> all(static_cast<std::size_t>(size()));
    {
      std::unique_lock lock(group_->world->mutex);
      throw_if_aborted(what);
      group_->calls[static_cast<std::size_t>(rank_)] = std::move(mine);
      const std::uint64_t meeting = arrive();
      wait(
          lock, what, [&] { return missing_at(meeting).empty(); },
          [&] { return missing_at(meeting); });
    }
    require_same_call();
    for (int r = 0; r < size(); ++r)
      all[static_cast<std::size_t>(r)] = call(r).data;
    return all;
  }

  // Second meeting: returns when no peer reads or writes this rank's memory any more. Peers are at
  // work and come for certain, so there is neither timeout nor abort.
  void finish() {
    std::unique_lock lock(group_->world->mutex);
    const std::uint64_t meeting = arrive();
    group_->world->changed.wait(lock, [&] { return missing_at(meeting).empty(); });
  }

  // Compares the calls in rank order with rank 0's, so that every rank finds the same fault.
  void require_same_call() {
    const auto text = [](const Call& c) {
      return fmt::format("{} (argument {}) of {} [{}]", c.what, c.argument, dtype_name(c.dtype),
                         fmt::join(c.shape, ", "));
    };
    const Call& first = call(0);
    const bool split = std::string_view(first.what) == "split";  // colors may differ
    for (int r = 1; r < size(); ++r) {
      const Call& other = call(r);
      if (std::string_view(other.what) != first.what || other.dtype != first.dtype ||
          other.shape != first.shape || (!split && other.argument != first.argument)) {
        fail(fmt::format("{}: rank 0 calls {}, rank {} calls {}", group_->name, text(first), r,
                         text(other)));
      }
    }
  }

  void require_matching_rows() {
    for (int from = 0; from < size(); ++from) {
      for (int to = 0; to < size(); ++to) {
        const std::int64_t sent = call(from).send_rows[static_cast<std::size_t>(to)];
        const std::int64_t expected = call(to).recv_rows[static_cast<std::size_t>(from)];
        if (sent != expected) {
          fail(fmt::format("all_to_all on {}: rank {} sends {} rows to rank {}, which expects {}",
                           group_->name, from, sent, to, expected));
        }
      }
    }
  }

  std::shared_ptr<Group> group_;
  int rank_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size, double timeout_s) {
  TERA_CHECK(size >= 1 && timeout_s > 0, "a group of {} ranks with timeout {} s", size, timeout_s);
  const auto group = std::make_shared<Group>(std::make_shared<World>(timeout_s), size, "world");
  std::vector<std::unique_ptr<Communicator>> communicators;
  communicators.reserve(static_cast<std::size_t>(size));
  for (int rank = 0; rank < size; ++rank)
    communicators.push_back(std::make_unique<ThreadCommunicator>(group, rank));
  return communicators;
}

}  // namespace tera::comm
