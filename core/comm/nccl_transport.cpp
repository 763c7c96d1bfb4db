// Ranks as processes with a GPU each.
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/comm/nccl.h"
#include "core/comm/nccl_channel.h"
#include "core/comm/nccl_collectives.h"
#include "core/comm/peer_aborted.h"
#include "core/comm/tcp_store.h"
#include "core/comm/told_by_rank_0.h"

namespace tera::comm {
namespace {

class NcclTransport final : public Transport {
 public:
  // `name` is the group's alone.
  NcclTransport(Group group, std::shared_ptr<NcclProcess> process, std::string name)
      : Transport(std::move(group)),
        member_(std::move(process), std::move(name), this->group().size(), this->group().rank) {}

  // The end of a communicator waits for its peer's: every rank ends its channels in the same order.
  ~NcclTransport() override {
    while (!channels_.empty())
      channels_.erase(channels_.begin());
  }

  void run(const Operation& operation) override {
    if (operation.kind == OperationKind::send) return send(operation.from, operation.peer);
    if (operation.kind == OperationKind::recv) return recv(operation.to, operation.peer);
    run_collective(member_, group(), operation, scratch_);
  }

  std::unique_ptr<Transport> split(SplitRequest request, std::string axis) override {
    const std::vector<Announcement> all =
        greet(member_, group(), {.kind = OperationKind::split, .split = request});
    std::vector<SplitRequest> requests;
    for (const Announcement& each : all)
      requests.push_back(each.split);
    return std::make_unique<NcclTransport>(
        split_group(group(), requests, group().rank, std::move(axis)), member_.shared_process(),
        fmt::format("{}.{}c{}", member_.name(), num_splits_++, request.color));
  }

  void abort(std::string_view reason) noexcept override { member_.process().abort(reason); }

 private:
  struct Message {
    MailHeader header;
    std::vector<std::byte> bytes;
  };

  void send(const Tensor& x, int to) {
    member_.process().throw_if_aborted({&group(), OperationKind::send});
    if (to == group().rank) {
      const std::scoped_lock lock(own_mutex_);
      own_.push_back({header_of(x), {bytes_of(x), bytes_of(x) + x.num_bytes()}});
      return;
    }
    channel<NcclSender>(group().rank, to, to).send(x);
  }

  void recv(const Tensor& x, int from) {
    member_.process().throw_if_aborted({&group(), OperationKind::recv});
    if (from == group().rank) return recv_own(x);
    channel<NcclReceiver>(from, group().rank, from).receive(x);
  }

  // This rank's end of it, whose other end `peer` has.
  template <class End>
  End& channel(int from, int to, int peer) {
    const std::scoped_lock lock(channels_mutex_);
    auto found = channels_.find({from, to});
    if (found == channels_.end()) {
      found = channels_
                  .try_emplace({from, to}, std::in_place_type<End>, member_.shared_process(),
                               channel_name(member_.name(), from, to), group(), peer)
                  .first;
    }
    return std::get<End>(found->second);
  }

  void recv_own(const Tensor& x) {
    Message message;
    {
      const std::scoped_lock lock(own_mutex_);
      if (own_.empty())
        member_.process().fail(fmt::format("{} from itself: nothing was sent",
                                           place_of(group(), OperationKind::recv)));
      message = std::move(own_.front());
      own_.pop_front();
    }
    if (const std::string reason =
            mail_disagreement(group(), group().rank, message.header, header_of(x));
        !reason.empty())
      member_.process().fail(reason);
    copy_bytes(bytes_of(x), message.bytes.data(), x.num_bytes());
  }

  NcclMember member_;
  std::vector<std::byte> scratch_;
  int num_splits_ = 0;
  std::mutex channels_mutex_;  // messages are sent on one thread, received on another
  std::map<std::pair<int, int>, std::variant<NcclSender, NcclReceiver>> channels_;  // from, to
  std::mutex own_mutex_;
  std::deque<Message> own_;  // what this rank sent itself
};

// The name of the group of all.
constexpr const char* kWorld = "world";
// A launcher starts ranks within seconds of each other.
constexpr double kLatecomersS = 5;

Group world_of(const NcclJob& job) {
  Group world{.axis = kWorld, .ranks = {}, .rank = job.rank};
  world.ranks.resize(static_cast<std::size_t>(job.size));
  std::iota(world.ranks.begin(), world.ranks.end(), 0);
  return world;
}

// After the end of a job that did not begin. Rank 0 may hold the store, in which those that start
// seconds later hear why; the others say that they came.
void meet_latecomers(Store& words, const NcclJob& job) {
  const double end_s = monotonic_s() + kLatecomersS;
  try {
    if (job.rank > 0) words.set(joins_key(kWorld, job.rank), "");
    for (int r = 1; job.rank == 0 && r < job.size; ++r)
      words.wait_for(joins_key(kWorld, r), end_s - monotonic_s());
  } catch (const CommunicationError&) {  // who is not there by now finds out by its timeout
  }
}

Result<std::unique_ptr<Store>> make_common_store(Communicator& ranks, double timeout_s) {
  if (ranks.size() == 1) return std::make_unique<MemoryStore>();
  if (ranks.rank() > 0) {
    const std::string text = told_by_rank_0(ranks);
    if (text.empty()) return fail(ErrorCode::failed, "rank 0 could not open its store");
    TERA_TRY(const TcpStoreAddress address, parse_tcp_store_address(text));
    return join_tcp_store(address, ranks.rank(), timeout_s);
  }
  Result<ServedStore> served = serve_tcp_store();
  told_by_rank_0(ranks, served ? served->address.text() : "");
  if (!served) return tl::unexpected<Error>(served.error());
  return std::move(served->store);
}

}  // namespace

Result<std::unique_ptr<Communicator>> make_nccl_communicator(std::unique_ptr<NcclDevice> device,
                                                             std::unique_ptr<Store> store,
                                                             const NcclJob& job) {
  TERA_CHECK(job.rank >= 0 && job.rank < job.size && job.timeout_s > 0,
             "rank {} of {} with timeout {} s", job.rank, job.size, job.timeout_s);
  Store& words = *store;
  const auto process =
      std::make_shared<NcclProcess>(std::move(device), std::move(store), job.rank, job.timeout_s);
  const auto refused = [](const CommunicationError& error) {
    return fail(ErrorCode::failed, error.what(),
                "each rank needs a GPU of its own: `teragpt doctor` on its computer; "
                "NCCL_DEBUG=INFO shows what NCCL tries");
  };
  try {
    auto world = std::make_unique<Communicator>(
        std::make_unique<NcclTransport>(world_of(job), process, kWorld));
    world->barrier();
    return world;
  } catch (const PeerAborted& error) {
    meet_latecomers(words, job);
    return refused(error);
  } catch (const CommunicationError& error) {
    return refused(error);
  }
}

void decline_nccl_job(std::unique_ptr<Store> store, const NcclJob& job, std::string_view reason) {
  Store& words = *store;
  NcclProcess process(nullptr, std::move(store), job.rank, job.timeout_s);
  process.abort(reason);
  meet_latecomers(words, job);
}

Result<std::unique_ptr<Communicator>> make_nccl_communicator(std::unique_ptr<NcclDevice> device,
                                                             Communicator& ranks,
                                                             double timeout_s) {
  TERA_TRY(std::unique_ptr<Store> store, make_common_store(ranks, timeout_s));
  return make_nccl_communicator(
      std::move(device), std::move(store),
      {.rank = ranks.rank(), .size = ranks.size(), .timeout_s = timeout_s});
}

}  // namespace tera::comm
