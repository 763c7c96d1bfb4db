#include "core/comm/nccl_channel.h"

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"

namespace tera::comm {
namespace {

// Of the communicator of a channel: the sender is its member 0, the receiver its member 1.
constexpr std::size_t kReceiver = 1;
constexpr std::size_t kSender = 0;

template <class T>
const std::byte* first_byte(const T& x) {
  return reinterpret_cast<const std::byte*>(&x);
}

}  // namespace

std::string channel_name(const std::string& group_name, int from, int to) {
  return fmt::format("{}.{}-to-{}", group_name, from, to);
}

NcclSender::NcclSender(std::shared_ptr<NcclProcess> process,
                       std::string name,
                       const Group& group,
                       int to)
    : member_(std::move(process), std::move(name), 2, 0),
      group_(group),
      to_(group.ranks[static_cast<std::size_t>(to)]) {}

NcclSender::~NcclSender() {
  closed_s_ = monotonic_s();
}

void NcclSender::send(const Tensor& x) {
  member_.process().throw_if_aborted({&group_, OperationKind::send});
  static_cast<void>(queue_.push(
      [this, header = header_of(x), bytes = std::vector(bytes_of(x), bytes_of(x) + x.num_bytes())] {
        try {
          deliver(header, bytes);
        } catch (const std::exception& error) {
          member_.process().abort(error.what());
        }
      }));
}

void NcclSender::deliver(const MailHeader& header, const std::vector<std::byte>& bytes) {
  NcclProcess& process = member_.process();
  const NcclProcess::Wait wait = [&](const NcclProcess::Done& done) {
    process.wait_in_background({&group_, OperationKind::send}, [&] {
      if (done()) return true;
      const double closed_s = closed_s_;
      if (closed_s > 0 && monotonic_s() > closed_s + process.timeout_s())
        throw CommunicationError(fmt::format("rank {} did not receive it within {} s of the end",
                                             to_, process.timeout_s()));
      return false;
    });
  };
  const auto send = [&](const std::byte* data, std::int64_t size) {
    std::vector<Parcel> parcels(2);
    parcels[kReceiver] = {.out = data, .out_bytes = size};
    member_.exchange(wait, parcels);
  };
  send(first_byte(header), sizeof header);
  if (!bytes.empty()) send(bytes.data(), std::ssize(bytes));
}

void NcclReceiver::receive(const Tensor& x) {
  NcclProcess& process = member_.process();
  const std::vector<int> sender = {group_.ranks[static_cast<std::size_t>(from_)]};
  const NcclProcess::Wait wait = [&](const NcclProcess::Done& done) {
    process.wait({&group_, OperationKind::recv}, sender, done);
  };
  const auto receive = [&](std::byte* data, std::int64_t size) {
    std::vector<Parcel> parcels(2);
    parcels[kSender] = {.in = data, .in_bytes = size};
    member_.exchange(wait, parcels);
  };
  MailHeader header;
  receive(reinterpret_cast<std::byte*>(&header), sizeof header);
  if (const std::string reason = mail_disagreement(group_, from_, header, header_of(x));
      !reason.empty())
    process.fail(reason);
  if (x.num_bytes() > 0) receive(bytes_of(x), x.num_bytes());
}

}  // namespace tera::comm
