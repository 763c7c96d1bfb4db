// Communicator: a group of ranks. Collectives block until this rank's part is done; every rank
// calls the same collectives in the same order. Reductions add in rank order, so results are the
// same on every rank and every run. All members may throw CommunicationError, also when a peer
// aborted.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace tera::comm {

enum class Reduce : std::uint8_t { sum, max, min };

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // Ranks of equal color form a group, ordered by (key, rank). Collective.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  virtual void all_reduce(Tensor& x, Reduce op) = 0;  // f32, f64, i64; contiguous
  // x [n size, ...] -> shard [n, ...] of this rank, and back. Dim 0 divides by size.
  virtual void reduce_scatter(const Tensor& x, Tensor& shard, Reduce op) = 0;
  virtual void all_gather(const Tensor& shard, Tensor& x) = 0;
  // Rows of x go to rank r in blocks of send_rows[r]; rows from rank r arrive in y in rank order.
  virtual void all_to_all(const Tensor& x,
                          std::span<const std::int64_t> send_rows,
                          Tensor& y,
                          std::span<const std::int64_t> recv_rows) = 0;
  virtual void broadcast(Tensor& x, int root) = 0;
  virtual void send(const Tensor& x, int to) = 0;
  virtual void recv(Tensor& x, int from) = 0;
  virtual void barrier() = 0;

  virtual void abort(std::string_view reason) noexcept = 0;  // peers' collectives throw
};

// A group of one: every collective is a copy or nothing.
std::unique_ptr<Communicator> make_self_communicator();

// Ranks as threads of this process: one communicator per rank, to be used each on its own thread.
// A wait longer than timeout_s throws CommunicationError naming the ranks that are missing.
std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size,
                                                                     double timeout_s = 120);

}  // namespace tera::comm
