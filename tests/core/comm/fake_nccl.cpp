#include "tests/core/comm/fake_nccl.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <tuple>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/comm/nccl.h"
#include "core/comm/parcel.h"
#include "core/comm/reduction.h"

namespace tera::comm::test {
namespace {

enum class CallKind { all_reduce, reduce_scatter, all_gather, broadcast, exchange };

struct Call {
  CallKind kind = CallKind::exchange;
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
  std::int64_t n = 0;  // elements, or bytes of what is only moved
  DType dtype = DType::u8;
  Reduce reduce = Reduce::sum;
  int root = 0;
  std::vector<NcclBlock> send = {};
  std::vector<NcclBlock> receive = {};

  bool same_as(const Call& other) const {
    return std::tie(kind, n, dtype, reduce, root) ==
           std::tie(other.kind, other.n, other.dtype, other.reduce, other.root);
  }
};

}  // namespace

// One communicator: the last member to call does the work of all.
class FakeClique {
 public:
  explicit FakeClique(int size) : calls_(static_cast<std::size_t>(size)) {}

  void join() {
    const std::scoped_lock lock(mutex_);
    ++num_joined_;
  }
  // Returns the round that is over when the call is.
  int post(int rank, Call call) {
    const std::scoped_lock lock(mutex_);
    if (num_joined_ < size()) throw std::logic_error("fake NCCL: a call before all have joined");
    calls_[static_cast<std::size_t>(rank)] = std::move(call);
    if (++num_posted_ == size() && !aborted_) {
      execute();
      num_posted_ = 0;
      return ++num_rounds_;
    }
    return num_rounds_ + 1;
  }
  bool is_over(int round, bool aborts_are_seen) {
    const std::scoped_lock lock(mutex_);
    if (aborted_ && aborts_are_seen && round > num_rounds_)
      throw CommunicationError("NCCL: remote process exited");
    return num_joined_ == size() && num_rounds_ >= round;
  }
  void abort() {
    const std::scoped_lock lock(mutex_);
    aborted_ = true;
    left_.notify_all();
  }
  // False when a member stays for longer.
  bool leave(double seconds) {
    std::unique_lock lock(mutex_);
    ++num_left_;
    left_.notify_all();
    return left_.wait_for(lock, std::chrono::duration<double>(seconds),
                          [this] { return aborted_ || num_left_ == size(); });
  }

 private:
  int size() const { return static_cast<int>(calls_.size()); }
  const Call& call(int rank) const { return calls_[static_cast<std::size_t>(rank)]; }

  void execute() {
    for (const Call& each : calls_) {
      if (!each.same_as(calls_.front())) throw std::logic_error("fake NCCL: calls that differ");
    }
    const Call& first = calls_.front();
    const std::int64_t bytes = first.n * dtype_bytes(first.dtype);
    switch (first.kind) {
      case CallKind::all_reduce: {
        const std::vector<std::byte> sums = reduced(first.n);
        for (const Call& each : calls_)
          copy_bytes(each.to, sums.data(), bytes);
        return;
      }
      case CallKind::reduce_scatter: {
        const std::vector<std::byte> sums = reduced(first.n * size());
        for (int r = 0; r < size(); ++r)
          copy_bytes(call(r).to, sums.data() + r * bytes, bytes);
        return;
      }
      case CallKind::all_gather:
        for (const Call& each : calls_) {
          for (int r = 0; r < size(); ++r)
            copy_bytes(each.to + r * bytes, call(r).from, bytes);
        }
        return;
      case CallKind::broadcast:
        for (const Call& each : calls_)
          copy_bytes(each.to, call(first.root).from, bytes);
        return;
      case CallKind::exchange:
        return exchange();
    }
  }

  void exchange() {
    for (int from = 0; from < size(); ++from) {
      for (int to = 0; to < size(); ++to) {
        const NcclBlock& out = call(from).send[static_cast<std::size_t>(to)];
        const NcclBlock& in = call(to).receive[static_cast<std::size_t>(from)];
        if (out.bytes != in.bytes)
          throw std::logic_error(
              fmt::format("fake NCCL: {} bytes are sent, {} expected", out.bytes, in.bytes));
        copy_bytes(in.data, out.data, out.bytes);
      }
    }
  }

  // Slice s begins at the rank after s and goes round, each step rounded.
  std::vector<std::byte> reduced(std::int64_t n) const {
    const Call& first = calls_.front();
    const std::int64_t width = dtype_bytes(first.dtype);
    std::vector<std::byte> sums(static_cast<std::size_t>(n * width));
    for (int s = 0; s < size(); ++s) {
      const Slice slice = share(n, s, size());
      std::byte* sum = sums.data() + slice.begin * width;
      const auto part = [&](int step) {
        return call((s + 1 + step) % size()).from + slice.begin * width;
      };
      copy_bytes(sum, part(0), slice.size() * width);
      for (int step = 1; step < size(); ++step)
        reduce(first.dtype, first.reduce, {sum, part(step)}, {sum}, slice.size());
    }
    return sums;
  }

  std::mutex mutex_;
  std::condition_variable left_;
  std::vector<Call> calls_;
  int num_joined_ = 0;
  int num_posted_ = 0;
  int num_rounds_ = 0;
  int num_left_ = 0;
  bool aborted_ = false;
};

namespace {

class FakeComm final : public NcclComm {
 public:
  FakeComm(FakeNccl& fake, std::shared_ptr<FakeClique> clique, int member, int rank)
      : fake_(fake), clique_(std::move(clique)), member_(member), rank_(rank) {
    clique_->join();
  }
  ~FakeComm() override {
    if (!clique_->is_over(round_, false)) abort();
    if (!aborted_) fake_.leave(*clique_);
  }

  bool done() override {
    if (aborted_) throw CommunicationError("NCCL: aborted");
    return clique_->is_over(round_, fake_.aborts_are_seen);
  }
  void abort() noexcept override {
    aborted_ = true;
    clique_->abort();
  }

  std::byte* memory(std::int64_t bytes) override {
    require_idle();
    if (std::ssize(memory_) < bytes)
      memory_ = std::vector<std::byte>(static_cast<std::size_t>(bytes));
    return memory_.data();
  }
  void copy_in(std::byte* to, const void* from, std::int64_t bytes) override {
    require_idle();
    if (bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }
  void copy_out(void* to, const std::byte* from, std::int64_t bytes) override {
    require_idle();
    if (bytes > 0) std::memcpy(to, from, static_cast<std::size_t>(bytes));
  }

  void all_reduce(std::byte* x, std::int64_t n, DType dtype, Reduce reduce) override {
    post({.kind = CallKind::all_reduce,
          .from = x,
          .to = x,
          .n = n,
          .dtype = dtype,
          .reduce = reduce});
  }
  void reduce_scatter(
      const std::byte* from, std::byte* to, std::int64_t n, DType dtype, Reduce reduce) override {
    post({.kind = CallKind::reduce_scatter,
          .from = from,
          .to = to,
          .n = n,
          .dtype = dtype,
          .reduce = reduce});
  }
  void all_gather(const std::byte* from, std::byte* to, std::int64_t bytes) override {
    post({.kind = CallKind::all_gather, .from = from, .to = to, .n = bytes});
  }
  void broadcast(std::byte* x, std::int64_t bytes, int root) override {
    post({.kind = CallKind::broadcast, .from = x, .to = x, .n = bytes, .root = root});
  }
  void exchange(std::span<const NcclBlock> send, std::span<const NcclBlock> receive) override {
    post({.kind = CallKind::exchange,
          .send = {send.begin(), send.end()},
          .receive = {receive.begin(), receive.end()}});
  }

 private:
  void require_idle() {
    if (!done()) throw std::logic_error("fake NCCL: a call before the last one was done");
  }
  void post(Call call) {
    require_idle();
    fake_.throw_if_broken(rank_, false);
    round_ = clique_->post(member_, std::move(call));
  }

  FakeNccl& fake_;
  const std::shared_ptr<FakeClique> clique_;
  const int member_;
  const int rank_;  // of the device
  std::vector<std::byte> memory_;
  int round_ = 0;
  bool aborted_ = false;
};

class FakeDevice final : public NcclDevice {
 public:
  FakeDevice(FakeNccl& fake, int rank) : fake_(fake), rank_(rank) {}

  NcclId make_id() override { return fake_.next_id(); }
  std::unique_ptr<NcclComm> join(const NcclId& id, int size, int rank) override {
    fake_.throw_if_broken(rank_, true);
    return std::make_unique<FakeComm>(fake_, fake_.clique(id, size), rank, rank_);
  }

 private:
  FakeNccl& fake_;
  const int rank_;
};

class SharedStore final : public Store {
 public:
  explicit SharedStore(std::shared_ptr<Store> store) : store_(std::move(store)) {}
  bool set(std::string_view name, std::string_view value) override {
    return store_->set(name, value);
  }
  std::optional<std::string> get(std::string_view name) override { return store_->get(name); }
  std::string text() const override { return store_->text(); }

 private:
  const std::shared_ptr<Store> store_;
};

}  // namespace

std::unique_ptr<NcclDevice> FakeNccl::device(int rank) {
  return std::make_unique<FakeDevice>(*this, rank);
}

void FakeNccl::break_joins(int rank, std::string words) {
  const std::scoped_lock lock(mutex_);
  broken_joins_[rank] = std::move(words);
}

void FakeNccl::break_calls(int rank, std::string words) {
  const std::scoped_lock lock(mutex_);
  broken_calls_[rank] = std::move(words);
}

void FakeNccl::throw_if_broken(int rank, bool joins) {
  const std::scoped_lock lock(mutex_);
  const auto& broken = joins ? broken_joins_ : broken_calls_;
  if (const auto found = broken.find(rank); found != broken.end())
    throw CommunicationError(found->second);
}

std::shared_ptr<FakeClique> FakeNccl::clique(const NcclId& id, int size) {
  const std::scoped_lock lock(mutex_);
  std::shared_ptr<FakeClique>& clique = cliques_[id];
  if (!clique) clique = std::make_shared<FakeClique>(size);
  return clique;
}

NcclId FakeNccl::next_id() {
  const std::scoped_lock lock(mutex_);
  NcclId id = {};
  const std::string text = std::to_string(++num_ids_);
  std::copy(text.begin(), text.end(), id.begin());
  return id;
}

void FakeNccl::leave(FakeClique& clique) {
  if (!clique.leave(farewell_s) && farewell_s > 0) ++num_lone_ends_;
}

int FakeNccl::num_cliques() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<int>(cliques_.size());
}

std::unique_ptr<Store> shared_store(std::shared_ptr<Store> store) {
  return std::make_unique<SharedStore>(std::move(store));
}

tera::test::Worlds make_fake_worlds(FakeNccl& fake, int size, double timeout_s) {
  const auto store = std::make_shared<MemoryStore>();
  tera::test::Worlds worlds(static_cast<std::size_t>(size));
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        auto world = make_nccl_communicator(fake.device(rank), shared_store(store),
                                            {.rank = rank, .size = size, .timeout_s = timeout_s});
        if (world) worlds[static_cast<std::size_t>(rank)] = std::move(*world);
      });
    }
  }
  if (std::count(worlds.begin(), worlds.end(), nullptr) > 0)
    throw std::runtime_error("the ranks of a test did not find each other");
  return worlds;
}

}  // namespace tera::comm::test
