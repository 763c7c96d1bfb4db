// Messages from one member of a group to another. NCCL's send waits for its receiver, and what runs
// on one of its communicators runs in turn: so every directed pair has a communicator of its own,
// made for its first message, and a sender a thread.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "core/comm/nccl_member.h"
#include "core/comm/operation_queue.h"

namespace tera::comm {

// Of member `from` to member `to` of the group that its ranks know by `group_name`.
std::string channel_name(const std::string& group_name, int from, int to);

class NcclSender {
 public:
  // `group` outlives it.
  NcclSender(std::shared_ptr<NcclProcess> process, std::string name, const Group& group, int to);
  // Waits for the receiver of what was sent, at most for the timeout.
  ~NcclSender();
  NcclSender(const NcclSender&) = delete;
  NcclSender& operator=(const NcclSender&) = delete;

  // Copies; the message leaves when the receiver comes for it. One that fails ends the job.
  void send(const Tensor& x);

 private:
  void deliver(const MailHeader& header, const std::vector<std::byte>& bytes);

  NcclMember member_;
  const Group& group_;
  const int to_;  // rank of the world
  std::atomic<double> closed_s_ = 0;
  OperationQueue queue_;
};

class NcclReceiver {
 public:
  NcclReceiver(std::shared_ptr<NcclProcess> process, std::string name, const Group& group, int from)
      : member_(std::move(process), std::move(name), 2, 1), group_(group), from_(from) {}

  void receive(const Tensor& x);

 private:
  NcclMember member_;
  const Group& group_;
  const int from_;  // member of the group
};

}  // namespace tera::comm
