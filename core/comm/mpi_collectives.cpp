#include "core/comm/mpi_collectives.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/comm/operation_checks.h"
#include "core/comm/reduction.h"

namespace tera::comm {
namespace {

// Of a slice that is reduced at a time, over all peers: it stays in the second cache.
constexpr std::int64_t kChunkBytes = 256 << 10;
// A broadcast of less goes straight from the root; of more every rank passes on its slice.
constexpr std::int64_t kSmallBroadcastBytes = 32 << 10;

constexpr MpiGroup::Use kPayload = MpiGroup::payload;

std::int64_t width(const Tensor& x) {
  return dtype_bytes(x.dtype());
}

void copy(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

// Bytes [begin, end) of rank r to all others, in place.
template <class SliceOf>
void gather(const MpiGroup& group,
            std::byte* x,
            const SliceOf& slice_of,
            const std::string& where) {
  MpiProcess::Messages messages(group.process());
  const Slice mine = slice_of(group.rank());
  group.for_each_peer([&](int r) {
    const Slice theirs = slice_of(r);
    messages.receive(x + theirs.begin, theirs.size(), group.world_rank(r), group.tag(kPayload));
    messages.send(x + mine.begin, mine.size(), group.world_rank(r), group.tag(kPayload));
  });
  messages.wait(where);
}

// Reduces this rank's slice of operation.from into `to`, chunk by chunk; with `shared` every rank
// then gets the chunks of all in place.
template <class SliceOf>
void reduce_slices(const MpiGroup& group,
                   const Operation& operation,
                   const SliceOf& slice_of,
                   std::byte* to,
                   bool shared,
                   std::vector<std::byte>& scratch) {
  const Tensor& x = operation.from;
  const std::int64_t bytes = width(x);
  std::int64_t longest = 0;
  for (int r = 0; r < group.size(); ++r)
    longest = std::max(longest, slice_of(r).size());
  const std::int64_t chunk = std::clamp<std::int64_t>(kChunkBytes / bytes / group.size(), 1,
                                                      std::max<std::int64_t>(longest, 1));
  scratch.resize(static_cast<std::size_t>(chunk * bytes * group.size()));
  const std::string where = group.place(operation.kind);
  for (std::int64_t at = 0; at < longest; at += chunk) {
    const auto part_of = [&](int r) {  // of the slice of rank r, in this turn
      const Slice slice = slice_of(r);
      return Slice{std::min(slice.begin + at, slice.end),
                   std::min(slice.begin + at + chunk, slice.end)};
    };
    const Slice mine = part_of(group.rank());
    std::vector<const std::byte*> from(static_cast<std::size_t>(group.size()));
    from[static_cast<std::size_t>(group.rank())] = bytes_of(x) + mine.begin * bytes;
    {
      MpiProcess::Messages messages(group.process());
      group.for_each_peer([&](int r) {
        const Slice theirs = part_of(r);
        std::byte* received = scratch.data() + r * chunk * bytes;
        from[static_cast<std::size_t>(r)] = received;
        messages.receive(received, mine.size() * bytes, group.world_rank(r), group.tag(kPayload));
        messages.send(bytes_of(x) + theirs.begin * bytes, theirs.size() * bytes,
                      group.world_rank(r), group.tag(kPayload));
      });
      messages.wait(where);
    }
    reduce(x.dtype(), operation.reduce, from, {to + at * bytes}, mine.size());
    if (!shared) continue;
    const auto bytes_of_part = [&](int r) {
      return Slice{part_of(r).begin * bytes, part_of(r).end * bytes};
    };
    gather(group, bytes_of(x), bytes_of_part, where);
  }
}

void all_to_all(const MpiGroup& group, const Operation& operation) {
  const std::int64_t row = row_bytes(operation.from);
  const auto offset = [&](const std::vector<std::int64_t>& rows, int r) {
    return row * std::accumulate(rows.begin(), rows.begin() + r, std::int64_t{0});
  };
  const auto sent = [&](int r) {
    return bytes_of(operation.from) + offset(operation.send_rows, r);
  };
  const auto received = [&](int r) {
    return bytes_of(operation.to) + offset(operation.recv_rows, r);
  };
  MpiProcess::Messages messages(group.process());
  group.for_each_peer([&](int r) {
    const auto i = static_cast<std::size_t>(r);
    messages.receive(received(r), operation.recv_rows[i] * row, group.world_rank(r),
                     group.tag(kPayload));
    messages.send(sent(r), operation.send_rows[i] * row, group.world_rank(r), group.tag(kPayload));
  });
  const int me = group.rank();
  copy(received(me), sent(me), operation.send_rows[static_cast<std::size_t>(me)] * row);
  messages.wait(group.place(operation.kind));
}

void broadcast(const MpiGroup& group, const Tensor& x, int root) {
  const std::int64_t n = x.num_bytes();
  const bool whole = n <= kSmallBroadcastBytes;
  const auto slice_of = [&](int r) { return whole ? Slice{0, n} : group.share(n, r); };
  const std::string where = group.place(OperationKind::broadcast);
  {
    MpiProcess::Messages messages(group.process());
    if (group.rank() == root) {
      group.for_each_peer([&](int r) {
        messages.send(bytes_of(x) + slice_of(r).begin, slice_of(r).size(), group.world_rank(r),
                      group.tag(kPayload));
      });
    } else {
      const Slice mine = slice_of(group.rank());
      messages.receive(bytes_of(x) + mine.begin, mine.size(), group.world_rank(root),
                       group.tag(kPayload));
    }
    messages.wait(where);
  }
  if (!whole) gather(group, bytes_of(x), slice_of, where);
}

void all_gather(const MpiGroup& group, const Operation& operation) {
  const std::int64_t bytes = operation.from.num_bytes();
  std::byte* x = bytes_of(operation.to);
  copy(x + group.rank() * bytes, bytes_of(operation.from), bytes);
  const auto slice_of = [&](int r) { return Slice{bytes * r, bytes * (r + 1)}; };
  gather(group, x, slice_of, group.place(operation.kind));
}

}  // namespace

void run_collective(const MpiGroup& group,
                    const Operation& operation,
                    std::vector<std::byte>& scratch) {
  const Tensor& x = operation.to;
  switch (operation.kind) {
    case OperationKind::all_reduce: {
      const auto slice_of = [&](int r) { return group.share(x.num_elements(), r); };
      std::byte* mine = bytes_of(x) + slice_of(group.rank()).begin * width(x);
      return reduce_slices(group, operation, slice_of, mine, true, scratch);
    }
    case OperationKind::reduce_scatter: {
      const std::int64_t n = x.num_elements();
      const auto slice_of = [&](int r) { return Slice{n * r, n * (r + 1)}; };
      return reduce_slices(group, operation, slice_of, bytes_of(x), false, scratch);
    }
    case OperationKind::all_gather:
      return all_gather(group, operation);
    case OperationKind::all_to_all:
      return all_to_all(group, operation);
    case OperationKind::broadcast:
      return broadcast(group, x, operation.peer);
    default:
      return;
  }
}

}  // namespace tera::comm
