#include "core/comm/mpi_collectives.h"

#include <algorithm>

#include "core/comm/operation_checks.h"
#include "core/comm/reduction.h"

namespace tera::comm {
namespace {

// Of a slice that is reduced at a time, over all peers: it stays in the second cache, and waiting
// for the others, twice for each, takes a small part of it.
constexpr std::int64_t kChunkBytes = 1 << 20;
// A broadcast of less goes straight from the root; of more every rank passes on its slice, where
// there are others to pass it on to.
constexpr std::int64_t kSmallBroadcastBytes = 32 << 10;

constexpr MpiGroup::Use kPayload = MpiGroup::payload;

std::int64_t width(const Tensor& x) {
  return dtype_bytes(x.dtype());
}

// The slice of every rank r to all others but the one that has them all, if any. `mine`: this
// rank's, in its place or elsewhere: what was just written costs the other processor more to read.
template <class SliceOf>
void gather(const MpiGroup& group,
            const std::byte* mine,
            std::byte* x,
            const SliceOf& slice_of,
            const Place& where,
            int has_all = -1) {
  MpiProcess::Messages messages(group.process());
  group.for_each_peer([&](int r) {
    const Slice theirs = slice_of(r);
    if (group.rank() != has_all) {
      messages.receive(x + theirs.begin, theirs.size(), group.world_rank(r), group.tag(kPayload));
    }
    if (r != has_all) {
      messages.send(mine, slice_of(group.rank()).size(), group.world_rank(r), group.tag(kPayload));
    }
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
  const Place where = group.place(operation.kind);
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
    gather(group, bytes_of(x) + bytes_of_part(group.rank()).begin, bytes_of(x), bytes_of_part,
           where);
  }
}

// Those that were not carried.
void all_to_all(const MpiGroup& group, const std::vector<Parcel>& blocks) {
  MpiProcess::Messages messages(group.process());
  group.for_each_peer([&](int r) {
    const Parcel& block = blocks[static_cast<std::size_t>(r)];
    const int peer = group.world_rank(r);
    if (!is_carried(block.in_bytes))
      messages.receive(block.in, block.in_bytes, peer, group.tag(kPayload));
    if (!is_carried(block.out_bytes))
      messages.send(block.out, block.out_bytes, peer, group.tag(kPayload));
  });
  const Parcel& own = blocks[static_cast<std::size_t>(group.rank())];
  copy_bytes(own.in, own.out, own.out_bytes);
  messages.wait(group.place(OperationKind::all_to_all));
}

void broadcast(const MpiGroup& group, const Tensor& x, int root) {
  const std::int64_t n = x.num_bytes();
  const bool whole = n <= kSmallBroadcastBytes || group.size() == 2;
  const auto slice_of = [&](int r) { return whole ? Slice{0, n} : group.share(n, r); };
  const Place where = group.place(OperationKind::broadcast);
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
  if (whole) return;
  const Slice mine = slice_of(group.rank());
  gather(group, bytes_of(x) + mine.begin, bytes_of(x), slice_of, where, root);
}

// Of what came with the greetings; `mine` is this rank's part.
void reduce_parcels(const MpiGroup& group,
                    const Operation& operation,
                    const std::vector<Parcel>& parcels,
                    const std::byte* mine) {
  std::vector<const std::byte*> from;
  for (const Parcel& parcel : parcels)
    from.push_back(parcel.in);
  from[static_cast<std::size_t>(group.rank())] = mine;
  reduce(operation.to.dtype(), operation.reduce, from, {bytes_of(operation.to)},
         operation.to.num_elements());
}

void all_gather(const MpiGroup& group, const Operation& operation) {
  const std::int64_t bytes = operation.from.num_bytes();
  std::byte* x = bytes_of(operation.to);
  copy_bytes(x + group.rank() * bytes, bytes_of(operation.from), bytes);
  if (is_carried(bytes)) return;
  const auto slice_of = [&](int r) { return Slice{bytes * r, bytes * (r + 1)}; };
  gather(group, bytes_of(operation.from), x, slice_of, group.place(operation.kind));
}

}  // namespace

std::vector<Parcel> parcels_of(const MpiGroup& group,
                               const Operation& operation,
                               std::vector<std::byte>& scratch) {
  const std::byte* from = operation.from.present() ? bytes_of(operation.from) : nullptr;
  std::byte* to = operation.to.present() ? bytes_of(operation.to) : nullptr;
  std::vector<Parcel> parcels(static_cast<std::size_t>(group.size()));
  // For each member the same bytes of ours, or the next ones; the same of each in a row.
  const auto fill = [&](std::int64_t bytes, std::int64_t out_step, std::byte* in) {
    for (std::size_t r = 0; r < parcels.size(); ++r) {
      const auto i = static_cast<std::int64_t>(r);
      parcels[r] = {from + i * out_step, bytes, in + i * bytes, bytes};
    }
  };
  const auto in_scratch = [&](std::int64_t bytes) {
    scratch.resize(static_cast<std::size_t>(bytes * group.size()));
    return scratch.data();
  };
  switch (operation.kind) {
    case OperationKind::all_reduce:
    case OperationKind::reduce_scatter: {
      const std::int64_t bytes = operation.to.num_bytes();
      if (!is_carried(bytes)) return {};
      fill(bytes, operation.kind == OperationKind::all_reduce ? 0 : bytes, in_scratch(bytes));
      return parcels;
    }
    case OperationKind::all_gather:
      if (!is_carried(operation.from.num_bytes())) return {};
      fill(operation.from.num_bytes(), 0, to);
      return parcels;
    case OperationKind::all_to_all:
      return blocks_of(operation);
    case OperationKind::broadcast: {
      const std::int64_t bytes = operation.to.num_bytes();
      if (!is_carried(bytes)) return {};
      if (group.rank() == operation.peer) {
        for (Parcel& parcel : parcels)
          parcel = {.out = to, .out_bytes = bytes};
      } else {
        parcels[static_cast<std::size_t>(operation.peer)] = {.in = to, .in_bytes = bytes};
      }
      return parcels;
    }
    default:
      return {};
  }
}

void run_collective(const MpiGroup& group,
                    const Operation& operation,
                    const std::vector<Parcel>& parcels,
                    std::vector<std::byte>& scratch) {
  const Tensor& x = operation.to;
  const bool carried = !parcels.empty();
  switch (operation.kind) {
    case OperationKind::all_reduce: {
      if (carried) return reduce_parcels(group, operation, parcels, bytes_of(x));
      const auto slice_of = [&](int r) { return group.share(x.num_elements(), r); };
      std::byte* mine = bytes_of(x) + slice_of(group.rank()).begin * width(x);
      return reduce_slices(group, operation, slice_of, mine, true, scratch);
    }
    case OperationKind::reduce_scatter: {
      if (carried) {
        return reduce_parcels(group, operation, parcels,
                              bytes_of(operation.from) + group.rank() * x.num_bytes());
      }
      const std::int64_t n = x.num_elements();
      const auto slice_of = [&](int r) { return Slice{n * r, n * (r + 1)}; };
      return reduce_slices(group, operation, slice_of, bytes_of(x), false, scratch);
    }
    case OperationKind::all_gather:
      return all_gather(group, operation);
    case OperationKind::all_to_all:
      return all_to_all(group, parcels);
    case OperationKind::broadcast:
      if (!carried) broadcast(group, x, operation.peer);
      return;
    default:
      return;
  }
}

}  // namespace tera::comm
