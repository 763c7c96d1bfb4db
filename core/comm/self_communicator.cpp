// A group of one: what would travel stays, so every collective is a copy or nothing.
#include <array>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/comm/collective_checks.h"
#include "core/comm/communicator.h"

namespace tera::comm {
namespace {

void copy_bytes(const Tensor& from, Tensor& to) {
  if (from.num_bytes() > 0)
    std::memmove(to.view().data, from.view().data, static_cast<std::size_t>(from.num_bytes()));
}

class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::unique_ptr<Communicator> split(int /*color*/, int /*key*/) override {
    check_alive("split");
    return make_self_communicator();
  }

  void all_reduce(Tensor& x, Reduce /*op*/) override {
    check_alive("all_reduce");
    check_reducible("all_reduce", x);
  }

  void reduce_scatter(const Tensor& x, Tensor& shard, Reduce /*op*/) override {
    check_alive("reduce_scatter");
    check_reducible("reduce_scatter", x);
    check_shards("reduce_scatter", shard, x, 1);
    copy_bytes(x, shard);
  }

  void all_gather(const Tensor& shard, Tensor& x) override {
    check_alive("all_gather");
    check_shards("all_gather", shard, x, 1);
    copy_bytes(shard, x);
  }

  void all_to_all(const Tensor& x,
                  std::span<const std::int64_t> send_rows,
                  Tensor& y,
                  std::span<const std::int64_t> recv_rows) override {
    check_alive("all_to_all");
    check_rows("all_to_all", x, send_rows, 1);
    check_rows("all_to_all", y, recv_rows, 1);
    TERA_CHECK(x.shape() == y.shape() && x.dtype() == y.dtype(),
               "all_to_all: sends [{}], receives [{}]", fmt::join(x.shape(), ", "),
               fmt::join(y.shape(), ", "));
    copy_bytes(x, y);
  }

  void broadcast(Tensor& x, int root) override {
    check_alive("broadcast");
    check_contiguous("broadcast", x);
    TERA_CHECK(root == 0, "broadcast from rank {} of a group of 1", root);
  }

  void send(const Tensor& x, int to) override {
    check_alive("send");
    check_contiguous("send", x);
    TERA_CHECK(to == 0, "send to rank {} of a group of 1", to);
    const auto* bytes = static_cast<const std::byte*>(x.view().data);
    mail_.emplace_back(bytes, bytes + x.num_bytes());
  }

  void recv(Tensor& x, int from) override {
    check_alive("recv");
    check_contiguous("recv", x);
    TERA_CHECK(from == 0, "recv from rank {} of a group of 1", from);
    if (mail_.empty()) throw CommunicationError("recv from itself: nothing was sent");
    TERA_CHECK(std::ssize(mail_.front()) == x.num_bytes(), "recv of {} bytes, {} were sent",
               x.num_bytes(), mail_.front().size());
    if (!mail_.front().empty())
      std::memcpy(x.view().data, mail_.front().data(), mail_.front().size());
    mail_.pop_front();
  }

  void barrier() override { check_alive("barrier"); }

  void abort(std::string_view reason) noexcept override {
    aborted_ = true;
    try {
      reason_ = reason;
    } catch (const std::bad_alloc&) {
      reason_.clear();
    }
  }

 private:
  void check_alive(const char* what) const {
    if (aborted_)
      throw CommunicationError(fmt::format("{}: the group was aborted: {}", what, reason_));
  }

  std::deque<std::vector<std::byte>> mail_;
  bool aborted_ = false;
  std::string reason_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace tera::comm
