// Ranks as threads of one process: each reads what it needs from the memory of its peers.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/comm/operation_checks.h"
#include "core/comm/reduction.h"
#include "core/comm/thread_group.h"

namespace tera::comm {
namespace {

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(Group group, std::shared_ptr<ThreadGroup> meetings)
      : Transport(std::move(group)), meetings_(std::move(meetings)) {}

  void run(const Operation& operation) override {
    if (operation.kind == OperationKind::send) return send(operation.from, operation.peer);
    if (operation.kind == OperationKind::recv) return recv(operation.to, operation.peer);
    meetings_->begin(group(), {.announced = announce(operation),
                               .from = bytes_of(operation.from),
                               .to = bytes_of(operation.to),
                               .send_rows = operation.send_rows,
                               .recv_rows = operation.recv_rows});
    if (operation.kind == OperationKind::all_to_all) require_matching_rows();
    move(operation);
    meetings_->finish(rank());
  }

  std::unique_ptr<Transport> split(SplitRequest request, std::string axis) override {
    Announcement announced{.kind = OperationKind::split};
    announced.split = request;
    meetings_->begin(group(), {.announced = announced, .send_rows = {}, .recv_rows = {}});
    std::vector<SplitRequest> requests;
    for (int r = 0; r < size(); ++r)
      requests.push_back(meetings_->call(r).announced.split);
    Group child = split_group(group(), requests, rank(), std::move(axis));
    const auto first = std::find(group().ranks.begin(), group().ranks.end(), child.ranks.front());
    std::shared_ptr<ThreadGroup>& shared =
        meetings_->children[static_cast<std::size_t>(first - group().ranks.begin())];
    if (child.rank == 0)
      shared = std::make_shared<ThreadGroup>(meetings_->shared_world(), child.size());
    meetings_->finish(rank());
    auto transport = std::make_unique<ThreadTransport>(std::move(child), shared);
    meetings_->finish(rank());  // nobody may replace the children before all have read them
    return transport;
  }

  void abort(std::string_view reason) noexcept override { meetings_->world().abort(reason); }

 private:
  int rank() const { return group().rank; }
  int size() const { return group().size(); }

  // This rank's part of a collective, between its meetings.
  void move(const Operation& operation) {
    switch (operation.kind) {
      case OperationKind::all_reduce:
        return all_reduce(operation);
      case OperationKind::reduce_scatter: {
        const std::int64_t n = operation.to.num_elements();
        return reduce_slice(operation, n * rank(), n, {bytes_of(operation.to)});
      }
      case OperationKind::all_gather:
        for (int r = 0; r < size(); ++r) {
          const std::int64_t bytes = operation.from.num_bytes();
          copy_bytes(bytes_of(operation.to) + r * bytes, meetings_->call(r).from, bytes);
        }
        return;
      case OperationKind::all_to_all:
        return all_to_all(operation);
      case OperationKind::broadcast:
        if (operation.peer != rank())
          copy_bytes(bytes_of(operation.to), meetings_->call(operation.peer).from,
                     operation.to.num_bytes());
        return;
      default:
        return;
    }
  }

  // Each rank reduces one slice and writes it to all.
  void all_reduce(const Operation& operation) {
    const std::int64_t begin = operation.to.num_elements() * rank() / size();
    const std::int64_t end = operation.to.num_elements() * (rank() + 1) / size();
    std::vector<std::byte*> to;
    for (int r = 0; r < size(); ++r)
      to.push_back(meetings_->call(r).to + begin * dtype_bytes(operation.to.dtype()));
    reduce_slice(operation, begin, end - begin, to);
  }

  void reduce_slice(const Operation& operation,
                    std::int64_t begin,
                    std::int64_t count,
                    const std::vector<std::byte*>& to) {
    std::vector<const std::byte*> from;
    for (int r = 0; r < size(); ++r)
      from.push_back(meetings_->call(r).from + begin * dtype_bytes(operation.from.dtype()));
    reduce(operation.from.dtype(), operation.reduce, from, to, count);
  }

  void all_to_all(const Operation& operation) {
    std::byte* to = bytes_of(operation.to);
    const std::int64_t width = row_bytes(operation.from);
    for (int r = 0; r < size(); ++r) {
      const ThreadCall& call = meetings_->call(r);
      const auto first =
          std::accumulate(call.send_rows.begin(), call.send_rows.begin() + rank(), std::int64_t{0});
      const std::int64_t bytes = operation.recv_rows[static_cast<std::size_t>(r)] * width;
      copy_bytes(to, call.from + first * width, bytes);
      to += bytes;
    }
  }

  void send(const Tensor& x, int to) {
    ThreadMessage message{header_of(x), {}};
    message.bytes.assign(bytes_of(x), bytes_of(x) + x.num_bytes());
    ThreadWorld& world = meetings_->world();
    const std::scoped_lock lock(world.mutex());
    world.throw_if_aborted(place(OperationKind::send));
    meetings_->mail[{rank(), to}].push_back(std::move(message));
    world.wake();
  }

  void recv(const Tensor& x, int from) {
    ThreadWorld& world = meetings_->world();
    const int sender = group().ranks[static_cast<std::size_t>(from)];
    std::unique_lock lock(world.mutex());
    std::deque<ThreadMessage>& box = meetings_->mail[{from, rank()}];
    // Who waits for itself would wait in vain.
    if (from != rank()) world.wait(lock, [&] { return world.aborted() || !box.empty(); });
    if (box.empty()) {
      world.throw_if_aborted(place(OperationKind::recv));
      const std::string reason =
          from == rank()
              ? fmt::format("{} from itself: nothing was sent", place(OperationKind::recv))
              : fmt::format("{} waited {} s for rank {}", place(OperationKind::recv),
                            world.timeout_s(), sender);
      world.abort_locked(reason);
      throw CommunicationError(reason);
    }
    const ThreadMessage message = std::move(box.front());
    box.pop_front();
    lock.unlock();
    if (const std::string reason = mail_disagreement(group(), from, message.header, header_of(x));
        !reason.empty())
      fail(reason);
    copy_bytes(bytes_of(x), message.bytes.data(), x.num_bytes());
  }

  std::string place(OperationKind kind) const { return place_of(group(), kind); }

  // Ends the run for the whole world, and says why on every rank.
  [[noreturn]] void fail(const std::string& reason) {
    abort(reason);
    throw CommunicationError(reason);
  }

  void require_matching_rows() {
    for (int from = 0; from < size(); ++from) {
      for (int to = 0; to < size(); ++to) {
        const std::int64_t sent = meetings_->call(from).send_rows[static_cast<std::size_t>(to)];
        const std::int64_t expected = meetings_->call(to).recv_rows[static_cast<std::size_t>(from)];
        if (sent != expected) fail(row_disagreement(group(), from, to, sent, expected));
      }
    }
  }

  std::shared_ptr<ThreadGroup> meetings_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> make_thread_transports(int size, double timeout_s) {
  TERA_CHECK(size >= 1 && timeout_s > 0, "a group of {} ranks with timeout {} s", size, timeout_s);
  const auto meetings =
      std::make_shared<ThreadGroup>(std::make_shared<ThreadWorld>(timeout_s), size);
  std::vector<int> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  std::vector<std::unique_ptr<Transport>> transports;
  for (int rank = 0; rank < size; ++rank)
    transports.push_back(std::make_unique<ThreadTransport>(
        Group{.axis = "world", .ranks = ranks, .rank = rank}, meetings));
  return transports;
}

}  // namespace tera::comm
