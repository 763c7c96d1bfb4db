// Communicator: a group of ranks along one axis of the mesh. Every rank calls the same collectives
// in the same order. Reductions add in rank order (bf16 in f32, rounded once), so results are the
// same on every rank, every run and every transport.
//
// Operations of one communicator are ordered as on a stream: run() returns when this rank's part is
// done, start() at once, and either comes after what was started before. Communicators are
// independent of each other: what one axis waits for holds up no other. A send copies its tensor
// and never waits, so it need not come before the recv that its receiver waits in.
//
// All members may throw CommunicationError: a peer that is missing longer than the timeout, calls
// something else or aborted. The message names the axis, the operation and the ranks of the world.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/comm/flight_recorder.h"
#include "core/comm/operation_queue.h"
#include "core/comm/traffic.h"
#include "core/comm/transport.h"

namespace tera::comm {

// A started operation. Its tensors may be touched again after wait(); dropped without it, the
// operation still runs.
class Work {
 public:
  explicit Work(std::future<void> done) : done_(std::move(done)) {}
  void wait() { done_.get(); }  // once; throws what the operation threw

 private:
  std::future<void> done_;
};

// What a rank's communicators keep together.
struct RankLog {
  Traffic traffic;
  FlightRecorder flight;
};

// To be used by one thread at a time.
class Communicator {
 public:
  explicit Communicator(std::unique_ptr<Transport> transport,
                        std::shared_ptr<RankLog> log = std::make_shared<RankLog>());
  ~Communicator();  // after what was started

  int rank() const { return group().rank; }
  int size() const { return group().size(); }
  const Group& group() const { return transport_->group(); }

  // Ranks of equal color form a group, ordered by (key, rank), named by its axis. Collective.
  std::unique_ptr<Communicator> split(int color, int key, std::string axis);

  void run(Operation operation);
  // Collectives and recv; a send runs at once.
  [[nodiscard]] Work start(Operation operation);

  void all_reduce(Tensor& x, Reduce op) { run(Operation::all_reduce(x, op)); }
  void reduce_scatter(const Tensor& x, Tensor& shard, Reduce op) {
    run(Operation::reduce_scatter(x, shard, op));
  }
  void all_gather(const Tensor& shard, Tensor& x) { run(Operation::all_gather(shard, x)); }
  void all_to_all(const Tensor& x,
                  std::span<const std::int64_t> send_rows,
                  Tensor& y,
                  std::span<const std::int64_t> recv_rows) {
    run(Operation::all_to_all(x, send_rows, y, recv_rows));
  }
  void broadcast(Tensor& x, int root) { run(Operation::broadcast(x, root)); }
  void send(const Tensor& x, int to) { run(Operation::send(x, to)); }
  void recv(Tensor& x, int from) { run(Operation::recv(x, from)); }
  void barrier() { run(Operation::barrier()); }

  void abort(std::string_view reason) noexcept { transport_->abort(reason); }  // peers throw too

  // Of this rank, over the world and all groups split from it.
  const Traffic& traffic() const { return log_->traffic; }
  const FlightRecorder& flight_recorder() const { return log_->flight; }

 private:
  std::uint64_t record(OperationKind kind, std::int64_t bytes);
  // Notes in the record how `task` went.
  template <class Task>
  void run_recorded(std::uint64_t id, const Task& task);

  const std::unique_ptr<Transport> transport_;
  const std::shared_ptr<RankLog> log_;
  std::int64_t num_collectives_ = 0;
  std::int64_t num_sends_ = 0;
  std::int64_t num_recvs_ = 0;
  OperationQueue queue_;  // ends before the transport does
};

// A group of one: every collective is a copy or nothing.
std::unique_ptr<Communicator> make_self_communicator();

// Ranks as threads of this process: one communicator per rank, each to be used on its own thread.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size,
                                                                     double timeout_s = 120);

}  // namespace tera::comm
