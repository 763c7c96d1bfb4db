#include "core/comm/nccl_collectives.h"

#include <numeric>

#include "core/comm/operation_checks.h"
#include "core/comm/reduction.h"

namespace tera::comm {
namespace {

// One collective of one rank.
class Collective {
 public:
  Collective(NcclMember& member, const Group& group, OperationKind kind)
      : member_(member),
        size_(group.size()),
        rank_(group.rank),
        wait_([&member, &group, kind, peers = peers_of(group)](const NcclProcess::Done& done) {
          member.process().wait({&group, kind}, peers, done);
        }) {}

  // `each` bytes of this rank, those of all in rank order.
  void all_gather(const void* from, void* to, std::int64_t each) {
    member_.step(wait_, each * (size_ + 1), [&](NcclComm& comm, std::byte* memory) {
      comm.copy_in(memory, from, each);
      comm.all_gather(memory, memory + each, each);
    });
    member_.step(wait_, each * (size_ + 1), [&](NcclComm& comm, std::byte* memory) {
      comm.copy_out(to, memory + each, each * size_);
    });
  }

  // Rows that members mean to send each other and to receive, before any is sent.
  void require_matching_rows(const Group& group, const Operation& operation) {
    const auto n = static_cast<std::size_t>(size_);
    std::vector<std::int64_t> mine(2 * n);
    std::vector<std::int64_t> theirs(2 * n);
    std::vector<Parcel> parcels(n);
    constexpr std::int64_t kBytes = 2 * sizeof(std::int64_t);
    for (std::size_t r = 0; r < n; ++r) {
      mine[2 * r] = operation.send_rows[r];
      mine[2 * r + 1] = operation.recv_rows[r];
      parcels[r] = {reinterpret_cast<const std::byte*>(&mine[2 * r]), kBytes,
                    reinterpret_cast<std::byte*>(&theirs[2 * r]), kBytes};
    }
    member_.exchange(wait_, parcels);
    const auto require = [&](int from, int to, std::int64_t sent, std::int64_t expected) {
      if (sent != expected)
        member_.process().fail(row_disagreement(group, from, to, sent, expected));
    };
    for (std::size_t r = 0; r < n; ++r) {
      require(static_cast<int>(r), rank_, theirs[2 * r], mine[2 * r + 1]);
      require(rank_, static_cast<int>(r), mine[2 * r], theirs[2 * r + 1]);
    }
  }

  void all_to_all(const Operation& operation) { member_.exchange(wait_, blocks_of(operation)); }

  void broadcast(const Operation& operation) {
    const std::int64_t bytes = operation.to.num_bytes();
    const bool is_root = operation.peer == rank_;
    member_.step(wait_, bytes, [&](NcclComm& comm, std::byte* memory) {
      if (is_root) comm.copy_in(memory, bytes_of(operation.to), bytes);
      comm.broadcast(memory, bytes, operation.peer);
    });
    if (is_root) return;
    member_.step(wait_, bytes, [&](NcclComm& comm, std::byte* memory) {
      comm.copy_out(bytes_of(operation.to), memory, bytes);
    });
  }

  // By NCCL itself: of `from` in place, or of its shard for each rank.
  void reduce(const Operation& operation) {
    const std::int64_t bytes = operation.from.num_bytes();
    const std::int64_t n = operation.to.num_elements();
    const bool whole = operation.kind == OperationKind::all_reduce;
    const std::int64_t shard = whole ? 0 : bytes;  // where it lies
    const std::int64_t memory_bytes = shard + operation.to.num_bytes();
    const DType dtype = operation.from.dtype();
    member_.step(wait_, memory_bytes, [&](NcclComm& comm, std::byte* memory) {
      comm.copy_in(memory, bytes_of(operation.from), bytes);
      if (whole) return comm.all_reduce(memory, n, dtype, operation.reduce);
      comm.reduce_scatter(memory, memory + shard, n, dtype, operation.reduce);
    });
    member_.step(wait_, memory_bytes, [&](NcclComm& comm, std::byte* memory) {
      comm.copy_out(bytes_of(operation.to), memory + shard, operation.to.num_bytes());
    });
  }

  // In rank order: each rank gets the parts of all for one slice of `from`, [begin, end) elements,
  // and adds them up in `to`.
  template <class SliceOf>
  void reduce_slice(const Operation& operation,
                    const SliceOf& slice_of,
                    std::byte* to,
                    std::vector<std::byte>& scratch) {
    const std::int64_t width = dtype_bytes(operation.from.dtype());
    const std::int64_t n = slice_of(rank_).size();
    scratch.resize(static_cast<std::size_t>(n * width * size_));
    std::vector<Parcel> parcels;
    std::vector<const std::byte*> parts;
    for (int r = 0; r < size_; ++r) {
      const Slice slice = slice_of(r);
      std::byte* part = scratch.data() + r * n * width;
      parcels.push_back(
          {bytes_of(operation.from) + slice.begin * width, slice.size() * width, part, n * width});
      parts.push_back(part);
    }
    member_.exchange(wait_, parcels);
    comm::reduce(operation.from.dtype(), operation.reduce, parts, {to}, n);
  }

  void all_reduce_in_rank_order(const Operation& operation, std::vector<std::byte>& scratch) {
    const Tensor& x = operation.to;
    const std::int64_t width = dtype_bytes(x.dtype());
    const auto slice_of = [&](int r) { return share(x.num_elements(), r, size_); };
    std::byte* mine = bytes_of(x) + slice_of(rank_).begin * width;
    reduce_slice(operation, slice_of, mine, scratch);
    std::vector<Parcel> parcels;
    for (int r = 0; r < size_; ++r) {
      const Slice slice = slice_of(r);
      parcels.push_back({mine, slice_of(rank_).size() * width, bytes_of(x) + slice.begin * width,
                         slice.size() * width});
    }
    member_.exchange(wait_, parcels);
  }

  void reduce_scatter_in_rank_order(const Operation& operation, std::vector<std::byte>& scratch) {
    const std::int64_t n = operation.to.num_elements();
    const auto slice_of = [&](int r) { return Slice{n * r, n * (r + 1)}; };
    reduce_slice(operation, slice_of, bytes_of(operation.to), scratch);
  }

 private:
  static std::vector<int> peers_of(const Group& group) {
    std::vector<int> peers = group.ranks;
    peers.erase(peers.begin() + group.rank);
    return peers;
  }

  NcclMember& member_;
  const int size_;
  const int rank_;
  const NcclProcess::Wait wait_;
};

}  // namespace

bool reduces_alike(DType dtype, Reduce reduce, int size) {
  return size == 1 || dtype == DType::i64 || (reduce == Reduce::sum && size == 2);
}

std::vector<Announcement> greet(NcclMember& member, const Group& group, const Announcement& mine) {
  std::vector<Announcement> all(static_cast<std::size_t>(group.size()));
  Collective(member, group, mine.kind).all_gather(&mine, all.data(), sizeof mine);
  if (const std::string reason = disagreement(group, all); !reason.empty())
    member.process().fail(reason);
  return all;
}

void run_collective(NcclMember& member,
                    const Group& group,
                    const Operation& operation,
                    std::vector<std::byte>& scratch) {
  greet(member, group, announce(operation));
  Collective collective(member, group, operation.kind);
  const bool alike = operation.from.present() &&
                     reduces_alike(operation.from.dtype(), operation.reduce, group.size());
  switch (operation.kind) {
    case OperationKind::all_reduce:
      if (operation.to.num_bytes() == 0) return;
      return alike ? collective.reduce(operation)
                   : collective.all_reduce_in_rank_order(operation, scratch);
    case OperationKind::reduce_scatter:
      if (operation.to.num_bytes() == 0) return;
      return alike ? collective.reduce(operation)
                   : collective.reduce_scatter_in_rank_order(operation, scratch);
    case OperationKind::all_gather:
      if (operation.from.num_bytes() == 0) return;
      return collective.all_gather(bytes_of(operation.from), bytes_of(operation.to),
                                   operation.from.num_bytes());
    case OperationKind::all_to_all:
      collective.require_matching_rows(group, operation);
      return collective.all_to_all(operation);
    case OperationKind::broadcast:
      if (operation.to.num_bytes() == 0) return;
      return collective.broadcast(operation);
    default:
      return;  // of a barrier the greeting is all
  }
}

}  // namespace tera::comm
