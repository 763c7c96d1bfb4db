// One operation of one rank on its group, as a value: what is asked, checked, queued, counted and
// recorded alike for every transport.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/fields.h"
#include "core/tensor/tensor.h"

namespace tera::comm {

enum class Reduce : std::uint8_t { sum, max, min };

enum class OperationKind : std::uint8_t {
  all_reduce,
  reduce_scatter,
  all_gather,
  all_to_all,
  broadcast,
  send,
  recv,
  barrier,
  split
};
inline constexpr std::size_t kNumOperationKinds = 9;

// Tensors share the storage of the caller's, which stays until the operation is over.
struct Operation {
  OperationKind kind = OperationKind::barrier;
  Tensor from = {};  // read
  Tensor to = {};    // written; the same tensor where an operation works in place
  std::vector<std::int64_t> send_rows = {};
  std::vector<std::int64_t> recv_rows = {};
  Reduce reduce = Reduce::sum;
  int peer = 0;  // rank in the group: root of a broadcast, receiver of a send, sender of a recv

  // x of every rank becomes the reduction of all.
  static Operation all_reduce(const Tensor& x, Reduce op) {
    return {.kind = OperationKind::all_reduce, .from = x, .to = x, .reduce = op};
  }
  // x [n size, ...] -> shard [n, ...] of this rank.
  static Operation reduce_scatter(const Tensor& x, const Tensor& shard, Reduce op) {
    return {.kind = OperationKind::reduce_scatter, .from = x, .to = shard, .reduce = op};
  }
  // shard [n, ...] of every rank -> x [n size, ...], in rank order.
  static Operation all_gather(const Tensor& shard, const Tensor& x) {
    return {.kind = OperationKind::all_gather, .from = shard, .to = x};
  }
  // Rows of x go to rank r in blocks of send_rows[r]; rows from rank r arrive in y in rank order.
  static Operation all_to_all(const Tensor& x,
                              std::span<const std::int64_t> send_rows,
                              const Tensor& y,
                              std::span<const std::int64_t> recv_rows) {
    return {.kind = OperationKind::all_to_all,
            .from = x,
            .to = y,
            .send_rows = {send_rows.begin(), send_rows.end()},
            .recv_rows = {recv_rows.begin(), recv_rows.end()}};
  }
  static Operation broadcast(const Tensor& x, int root) {
    return {.kind = OperationKind::broadcast, .from = x, .to = x, .peer = root};
  }
  static Operation send(const Tensor& x, int to) {
    return {.kind = OperationKind::send, .from = x, .peer = to};
  }
  static Operation recv(const Tensor& x, int from) {
    return {.kind = OperationKind::recv, .to = x, .peer = from};
  }
  static Operation barrier() { return {}; }
};

}  // namespace tera::comm

namespace tera {

template <>
struct EnumNames<comm::Reduce> {
  static constexpr std::array<std::string_view, 3> value = {"sum", "max", "min"};
};
template <>
struct EnumNames<comm::OperationKind> {
  static constexpr std::array<std::string_view, comm::kNumOperationKinds> value = {
      "all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast",
      "send",       "recv",           "barrier",    "split"};
};

}  // namespace tera
