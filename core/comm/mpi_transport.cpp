// Ranks as processes of an MPI job. MPI sums in an order of its own and knows no bf16: here it only
// moves bytes, and every rank reduces one slice of a tensor in rank order, which takes as many
// bytes on the wire as a ring. All ranks greet each other before a collective: who is missing, or
// means something else, is found out there.
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/comm/announcement.h"
#include "core/comm/mpi.h"
#include "core/comm/mpi_process.h"
#include "core/comm/operation_checks.h"
#include "core/comm/reduction.h"

namespace tera::comm {
namespace {

enum Use : int { greeting, payload, mail };  // of a tag

// Of a slice that is reduced at a time, over all peers: it stays in the second cache.
constexpr std::int64_t kChunkBytes = 256 << 10;
// A broadcast of less goes straight from the root; of more every rank passes on its slice.
constexpr std::int64_t kSmallBroadcastBytes = 32 << 10;

struct Greeting {
  Announcement announced;
  std::int64_t sends_rows = 0;  // of an all_to_all, to the one who is greeted
  std::int64_t expects_rows = 0;
  int group_number = 0;  // of a split: offered
};

struct MailHeader {
  DType dtype = DType::u8;
  int num_dims = 0;
  std::array<std::int64_t, 4> shape = {};
};

MailHeader header_of(const Tensor& x) {
  return {.dtype = x.dtype(), .num_dims = x.rank(), .shape = x.view().shape};
}

std::string text_of(const MailHeader& header) {
  return fmt::format("{} [{}]", dtype_name(header.dtype),
                     fmt::join(header.shape.begin(), header.shape.begin() + header.num_dims, ", "));
}

std::byte* bytes_of(const Tensor& x) {
  return static_cast<std::byte*>(x.view().data);
}

// Elements [begin, end) of a tensor that a rank reduces or passes on.
struct Slice {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

class MpiTransport final : public Transport {
 public:
  MpiTransport(Group group, std::shared_ptr<MpiProcess> process, int number)
      : Transport(std::move(group)), process_(std::move(process)), number_(number) {}

  void run(const Operation& operation) override {
    if (operation.kind == OperationKind::send) return send(operation.from, operation.peer);
    if (operation.kind == OperationKind::recv) return recv(operation.to, operation.peer);
    greet(announce(operation), &operation);
    const Tensor& x = operation.to;
    const std::string where = place(operation.kind);
    switch (operation.kind) {
      case OperationKind::all_reduce:
        return reduce_slices(
            operation, [&](int r) { return share(x.num_elements(), r); },
            bytes_of(x) + share(x.num_elements(), rank()).begin * width(x), true);
      case OperationKind::reduce_scatter: {
        const std::int64_t n = x.num_elements();
        return reduce_slices(
            operation,
            [&](int r) {
              return Slice{n * r, n * (r + 1)};
            },
            bytes_of(x), false);
      }
      case OperationKind::all_gather: {
        const std::int64_t bytes = operation.from.num_bytes();
        copy(bytes_of(x) + rank() * bytes, bytes_of(operation.from), bytes);
        return gather(
            bytes_of(x),
            [&](int r) {
              return Slice{bytes * r, bytes * (r + 1)};
            },
            where);
      }
      case OperationKind::all_to_all:
        return all_to_all(operation, where);
      case OperationKind::broadcast:
        return broadcast(x, operation.peer, where);
      default:
        return;
    }
  }

  std::unique_ptr<Transport> split(SplitRequest request, std::string axis) override {
    Announcement announced{.kind = OperationKind::split};
    announced.split = request;
    const std::vector<Greeting> greetings = greet(announced, nullptr);
    std::vector<SplitRequest> requests;
    int number = 0;
    for (const Greeting& each : greetings) {
      requests.push_back(each.announced.split);
      number = std::max(number, each.group_number);
    }
    process_->take_group_number(number);  // the same for all colors: they have no rank in common
    return std::make_unique<MpiTransport>(split_group(group(), requests, rank(), std::move(axis)),
                                          process_, number);
  }

  void abort(std::string_view reason) noexcept override { process_->abort(reason); }

 private:
  int rank() const { return group().rank; }
  int size() const { return group().size(); }
  int world_rank(int r) const { return group().ranks[static_cast<std::size_t>(r)]; }
  int tag(Use use) const { return number_ * MpiProcess::kTagsPerGroup + use; }
  static std::int64_t width(const Tensor& x) { return dtype_bytes(x.dtype()); }
  Slice share(std::int64_t n, int r) const { return {n * r / size(), n * (r + 1) / size()}; }
  std::string place(OperationKind kind) const { return place_of(group(), kind); }
  static void copy(std::byte* to, const std::byte* from, std::int64_t bytes) {
    if (bytes > 0 && to != from) std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }

  // Peers, the next rank first: not all turn to the same one at the same time.
  template <class Visit>
  void for_each_peer(const Visit& visit) const {
    for (int i = 1; i < size(); ++i)
      visit((rank() + i) % size());
  }

  // Says what this rank is about to do, hears it of all others, and compares.
  std::vector<Greeting> greet(const Announcement& announced, const Operation* operation) {
    const auto members = static_cast<std::size_t>(size());
    std::vector<Greeting> mine(members), heard(members);
    for (std::size_t r = 0; r < members; ++r) {
      mine[r].announced = announced;
      if (announced.kind == OperationKind::split)
        mine[r].group_number = process_->offer_group_number();
      if (announced.kind == OperationKind::all_to_all) {
        mine[r].sends_rows = operation->send_rows[r];
        mine[r].expects_rows = operation->recv_rows[r];
      }
    }
    heard[static_cast<std::size_t>(rank())] = mine[static_cast<std::size_t>(rank())];
    {
      MpiProcess::Messages messages(*process_);
      for_each_peer([&](int r) {
        const auto i = static_cast<std::size_t>(r);
        messages.receive(&heard[i], sizeof(Greeting), world_rank(r), tag(greeting));
        messages.send(&mine[i], sizeof(Greeting), world_rank(r), tag(greeting));
      });
      messages.wait(place(announced.kind));
    }
    std::vector<Announcement> all;
    for (const Greeting& each : heard)
      all.push_back(each.announced);
    if (const std::string reason = disagreement(group(), all); !reason.empty())
      process_->fail(reason);
    for (int r = 0; r < size(); ++r) {
      const Greeting& theirs = heard[static_cast<std::size_t>(r)];
      const Greeting& ours = mine[static_cast<std::size_t>(r)];
      if (theirs.sends_rows != ours.expects_rows)
        process_->fail(row_disagreement(group(), r, rank(), theirs.sends_rows, ours.expects_rows));
      if (ours.sends_rows != theirs.expects_rows)
        process_->fail(row_disagreement(group(), rank(), r, ours.sends_rows, theirs.expects_rows));
    }
    return heard;
  }

  // Reduces this rank's slice of operation.from into `to`, chunk by chunk; with `shared` every rank
  // then gets the chunks of all in place.
  template <class SliceOf>
  void reduce_slices(const Operation& operation,
                     const SliceOf& slice_of,
                     std::byte* to,
                     bool shared) {
    const Tensor& x = operation.from;
    const std::int64_t bytes = width(x);
    std::int64_t longest = 0;
    for (int r = 0; r < size(); ++r)
      longest = std::max(longest, slice_of(r).size());
    const std::int64_t chunk = std::clamp<std::int64_t>(kChunkBytes / bytes / size(), 1,
                                                        std::max<std::int64_t>(longest, 1));
    scratch_.resize(static_cast<std::size_t>(chunk * bytes * size()));
    const std::string where = place(operation.kind);
    for (std::int64_t at = 0; at < longest; at += chunk) {
      const auto part_of = [&](int r) {  // of the slice of rank r, in this turn
        const Slice slice = slice_of(r);
        return Slice{std::min(slice.begin + at, slice.end),
                     std::min(slice.begin + at + chunk, slice.end)};
      };
      const Slice mine = part_of(rank());
      std::vector<const std::byte*> from(static_cast<std::size_t>(size()));
      from[static_cast<std::size_t>(rank())] = bytes_of(x) + mine.begin * bytes;
      {
        MpiProcess::Messages messages(*process_);
        for_each_peer([&](int r) {
          const Slice theirs = part_of(r);
          std::byte* received = scratch_.data() + r * chunk * bytes;
          from[static_cast<std::size_t>(r)] = received;
          messages.receive(received, mine.size() * bytes, world_rank(r), tag(payload));
          messages.send(bytes_of(x) + theirs.begin * bytes, theirs.size() * bytes, world_rank(r),
                        tag(payload));
        });
        messages.wait(where);
      }
      reduce(x.dtype(), operation.reduce, from, {to + at * bytes}, mine.size());
      if (shared) {
        gather(
            bytes_of(x),
            [&](int r) {
              return Slice{part_of(r).begin * bytes, part_of(r).end * bytes};
            },
            where);
      }
    }
  }

  // Bytes [begin, end) of rank r to all others, in place.
  template <class SliceOf>
  void gather(std::byte* x, const SliceOf& slice_of, const std::string& where) {
    MpiProcess::Messages messages(*process_);
    const Slice mine = slice_of(rank());
    for_each_peer([&](int r) {
      const Slice theirs = slice_of(r);
      messages.receive(x + theirs.begin, theirs.size(), world_rank(r), tag(payload));
      messages.send(x + mine.begin, mine.size(), world_rank(r), tag(payload));
    });
    messages.wait(where);
  }

  void all_to_all(const Operation& operation, const std::string& where) {
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
    MpiProcess::Messages messages(*process_);
    for_each_peer([&](int r) {
      const auto i = static_cast<std::size_t>(r);
      messages.receive(received(r), operation.recv_rows[i] * row, world_rank(r), tag(payload));
      messages.send(sent(r), operation.send_rows[i] * row, world_rank(r), tag(payload));
    });
    copy(received(rank()), sent(rank()),
         operation.send_rows[static_cast<std::size_t>(rank())] * row);
    messages.wait(where);
  }

  void broadcast(const Tensor& x, int root, const std::string& where) {
    const std::int64_t n = x.num_bytes();
    const bool whole = n <= kSmallBroadcastBytes;
    const auto slice_of = [&](int r) { return whole ? Slice{0, n} : share(n, r); };
    {
      MpiProcess::Messages messages(*process_);
      if (rank() == root) {
        for_each_peer([&](int r) {
          messages.send(bytes_of(x) + slice_of(r).begin, slice_of(r).size(), world_rank(r),
                        tag(payload));
        });
      } else {
        const Slice mine = slice_of(rank());
        messages.receive(bytes_of(x) + mine.begin, mine.size(), world_rank(root), tag(payload));
      }
      messages.wait(where);
    }
    if (!whole) gather(bytes_of(x), slice_of, where);
  }

  void send(const Tensor& x, int to) {
    const MailHeader header = header_of(x);
    const auto* begin = reinterpret_cast<const std::byte*>(&header);
    const std::string where = place(OperationKind::send);
    process_->send_copy({begin, begin + sizeof header}, world_rank(to), tag(mail), where);
    if (x.num_bytes() > 0)
      process_->send_copy({bytes_of(x), bytes_of(x) + x.num_bytes()}, world_rank(to), tag(mail),
                          where);
  }

  void recv(const Tensor& x, int from) {
    const std::string where = place(OperationKind::recv);
    const auto receive = [&](void* to, std::int64_t bytes) {
      MpiProcess::Messages messages(*process_);
      messages.receive(to, bytes, world_rank(from), tag(mail));
      messages.wait(where);
    };
    MailHeader header;
    receive(&header, sizeof header);
    const MailHeader expected = header_of(x);
    if (header.dtype != expected.dtype || header.num_dims != expected.num_dims ||
        header.shape != expected.shape)
      process_->fail(fmt::format("recv on {}: rank {} sent {}, rank {} expects {}", group().axis,
                                 world_rank(from), text_of(header), group().world_rank(),
                                 text_of(expected)));
    receive(bytes_of(x), x.num_bytes());
  }

  const std::shared_ptr<MpiProcess> process_;
  const int number_;  // of the group, in its tags
  std::vector<std::byte> scratch_;
};

}  // namespace

bool has_mpi() {
  return true;
}

Result<std::unique_ptr<Communicator>> make_mpi_communicator(double timeout_s) {
  TERA_CHECK(timeout_s > 0, "an MPI job with timeout {} s", timeout_s);
  int started = 0;
  MPI_Initialized(&started);
  TERA_CHECK(started == 0, "MPI was started before in this process");
  try {
    const auto process = std::make_shared<MpiProcess>(timeout_s);
    Group world{.axis = "world", .ranks = {}, .rank = process->rank()};
    world.ranks.resize(static_cast<std::size_t>(process->size()));
    std::iota(world.ranks.begin(), world.ranks.end(), 0);
    return std::make_unique<Communicator>(
        std::make_unique<MpiTransport>(std::move(world), process, 0));
  } catch (const CommunicationError& error) {
    return fail(
        ErrorCode::failed, error.what(),
        "start the same teragpt on every computer, with mpirun of the MPI that it was built "
        "with: `teragpt doctor`");
  }
}

}  // namespace tera::comm
