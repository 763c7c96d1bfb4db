// A member of one communicator of NCCL, joined when it is first used, and the way of host memory
// through the device.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core/comm/nccl_process.h"
#include "core/comm/parcel.h"

namespace tera::comm {

// To be used by one thread at a time. What it throws leaves it unusable: nothing of what it started
// goes on.
class NcclMember {
 public:
  NcclMember(std::shared_ptr<NcclProcess> process, std::string name, int size, int rank)
      : process_(std::move(process)), name_(std::move(name)), size_(size), rank_(rank) {}
  ~NcclMember();
  NcclMember(const NcclMember&) = delete;
  NcclMember& operator=(const NcclMember&) = delete;

  NcclProcess& process() const { return *process_; }
  const std::shared_ptr<NcclProcess>& shared_process() const { return process_; }
  const std::string& name() const { return name_; }
  int size() const { return size_; }
  int rank() const { return rank_; }

  // Starts work and waits for it. `bytes` of device memory are for `start`, and stay until the next
  // step asks for more. A stream keeps order: copies in, one call of NCCL, or copies out.
  void step(const NcclProcess::Wait& wait,
            std::int64_t bytes,
            const std::function<void(NcclComm& comm, std::byte* memory)>& start);
  // Sends each member what is for it, at the same time; what is for this one is copied.
  void exchange(const NcclProcess::Wait& wait, const std::vector<Parcel>& parcels);

 private:
  const std::shared_ptr<NcclProcess> process_;
  const std::string name_;
  const int size_;
  const int rank_;
  std::unique_ptr<NcclComm> comm_;
};

}  // namespace tera::comm
