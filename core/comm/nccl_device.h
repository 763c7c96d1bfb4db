// What the transport asks of NCCL and CUDA, and no more: the libraries (nccl_library.cpp) or, in
// tests, ranks in host memory. All may throw CommunicationError in the libraries' words.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/base/result.h"
#include "core/comm/operation.h"

namespace tera::comm {

using NcclId = std::array<char, 128>;  // ncclUniqueId: what the members of a communicator share

// Bytes in device memory for, or from, a member.
struct NcclBlock {
  std::byte* data = nullptr;
  std::int64_t bytes = 0;
};

// A communicator of NCCL with a stream and device memory of its own. Calls start work, which runs
// in the order of the calls, and return at once; the caller comes back until done(), before every
// call but copies that follow copies. To be used by one thread at a time.
class NcclComm {
 public:
  virtual ~NcclComm() = default;  // in peace when done(), else as abort() does

  // Whether all that was started is over, the joining included.
  virtual bool done() = 0;
  // What was started ends, wherever it is; nothing can be called any more.
  virtual void abort() noexcept = 0;

  // Device memory of at least `bytes`; what was in it is lost when it grows.
  virtual std::byte* memory(std::int64_t bytes) = 0;
  virtual void copy_in(std::byte* to, const void* from, std::int64_t bytes) = 0;
  virtual void copy_out(void* to, const std::byte* from, std::int64_t bytes) = 0;

  // `from` and `to` lie in memory(). n elements of each rank.
  virtual void all_reduce(std::byte* x, std::int64_t n, DType dtype, Reduce reduce) = 0;
  // n elements of the shard.
  virtual void reduce_scatter(
      const std::byte* from, std::byte* to, std::int64_t n, DType dtype, Reduce reduce) = 0;
  // Bytes of a shard.
  virtual void all_gather(const std::byte* from, std::byte* to, std::int64_t bytes) = 0;
  virtual void broadcast(std::byte* x, std::int64_t bytes, int root) = 0;
  // To and from each member, by its rank, at the same time; empty blocks are not sent.
  virtual void exchange(std::span<const NcclBlock> send, std::span<const NcclBlock> receive) = 0;
};

// The device of this rank. Any thread may call it.
class NcclDevice {
 public:
  virtual ~NcclDevice() = default;
  virtual NcclId make_id() = 0;
  // Starts to join the communicator of that id: there is one when all `size` ranks have.
  virtual std::unique_ptr<NcclComm> join(const NcclId& id, int size, int rank) = 0;
};

}  // namespace tera::comm
