// NCCL and CUDA's runtime themselves. NCCL is asked not to block: its calls return at once, and
// done() finds out how they went.
//
// A kernel of NCCL that waits for a peer holds processors of the device. Communicators may wait for
// each other's ranks in any order only while all fit on it: so each takes few, nothing follows such
// a kernel on its stream before it is done, and memory is taken on the stream, not of the whole
// device, which would wait for all kernels. Source: NCCL documentation, "Using multiple NCCL
// communicators concurrently".
#include <algorithm>

#include <cuda_runtime.h>
#include <fmt/format.h>
#include <nccl.h>

#include "core/base/check.h"
#include "core/base/counted.h"
#include "core/base/error.h"
#include "core/comm/nccl.h"
#include "core/comm/patience.h"

namespace tera::comm {
namespace {

static_assert(sizeof(NcclId) == sizeof(ncclUniqueId));

// Of one communicator: an A100, which has 108 processors, holds 27 that wait.
constexpr int kMaxBlocks = 4;
// What peers need to end a communicator in peace; later it is given up.
constexpr double kFarewellS = 10;
constexpr std::int64_t kLeastMemoryBytes = 64 << 10;

void check(cudaError_t code, std::string_view what) {
  if (code == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // else the next call reports it again
  throw CommunicationError(fmt::format("CUDA, {}: {}", what, cudaGetErrorString(code)));
}

// ncclInProgress is no error: done() tells the end of it.
void check(ncclResult_t code, ncclComm_t comm, std::string_view what) {
  if (code == ncclSuccess || code == ncclInProgress) return;
  const char* detail = ncclGetLastError(comm);
  throw CommunicationError(fmt::format("NCCL, {}: {}{}{}", what, ncclGetErrorString(code),
                                       detail != nullptr && *detail != '\0' ? ": " : "",
                                       detail != nullptr ? detail : ""));
}

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return ncclFloat64;
    case DType::i64:
      return ncclInt64;
    case DType::bf16:
      return ncclBfloat16;
    case DType::f16:
      return ncclFloat16;
    default:
      TERA_CHECK(dtype == DType::f32, "NCCL reduces no {} here", dtype_name(dtype));
      return ncclFloat32;
  }
}

ncclRedOp_t type_of(Reduce reduce) {
  if (reduce == Reduce::max) return ncclMax;
  return reduce == Reduce::min ? ncclMin : ncclSum;
}

std::size_t count_of(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

std::string words_for_no_device(cudaError_t code) {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver";
  return code == cudaSuccess ? "the driver has none" : cudaGetErrorString(code);
}

class LibraryComm final : public NcclComm {
 public:
  LibraryComm(int device, const NcclId& shared, int size, int rank) : device_(device) {
    select();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
    ncclUniqueId id;
    std::copy(shared.begin(), shared.end(), id.internal);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    config.maxCTAs = kMaxBlocks;
    const ncclResult_t code = ncclCommInitRankConfig(&comm_, size, id, rank, &config);
    try {
      check(code, comm_, "ncclCommInitRankConfig");
    } catch (...) {
      release();
      throw;
    }
  }
  ~LibraryComm() override { release(); }

  bool done() override {
    select();
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(living(), &state), comm_, "ncclCommGetAsyncError");
    if (state == ncclInProgress) return false;
    check(state, comm_, "a collective or message");
    const cudaError_t code = cudaStreamQuery(stream_);
    if (code == cudaErrorNotReady) return false;
    check(code, "the stream of a communicator");
    return true;
  }

  void abort() noexcept override {
    if (comm_ == nullptr) return;
    static_cast<void>(cudaSetDevice(device_));
    static_cast<void>(ncclCommAbort(comm_));
    comm_ = nullptr;
  }

  std::byte* memory(std::int64_t bytes) override {
    if (bytes <= memory_bytes_) return memory_;
    select();
    free_memory();
    const std::int64_t taken = std::max(bytes, kLeastMemoryBytes);
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, count_of(taken), stream_),
          fmt::format("{} bytes of device memory", taken));
    memory_ = static_cast<std::byte*>(memory);
    memory_bytes_ = taken;
    return memory_;
  }

  void copy_in(std::byte* to, const void* from, std::int64_t bytes) override {
    copy(to, from, bytes, cudaMemcpyHostToDevice);
  }
  void copy_out(void* to, const std::byte* from, std::int64_t bytes) override {
    copy(to, from, bytes, cudaMemcpyDeviceToHost);
  }

  void all_reduce(std::byte* x, std::int64_t n, DType dtype, Reduce reduce) override {
    select();
    check(ncclAllReduce(x, x, count_of(n), type_of(dtype), type_of(reduce), living(), stream_),
          comm_, "ncclAllReduce");
  }
  void reduce_scatter(
      const std::byte* from, std::byte* to, std::int64_t n, DType dtype, Reduce reduce) override {
    select();
    check(ncclReduceScatter(from, to, count_of(n), type_of(dtype), type_of(reduce), living(),
                            stream_),
          comm_, "ncclReduceScatter");
  }
  void all_gather(const std::byte* from, std::byte* to, std::int64_t bytes) override {
    select();
    check(ncclAllGather(from, to, count_of(bytes), ncclUint8, living(), stream_), comm_,
          "ncclAllGather");
  }
  void broadcast(std::byte* x, std::int64_t bytes, int root) override {
    select();
    check(ncclBroadcast(x, x, count_of(bytes), ncclUint8, root, living(), stream_), comm_,
          "ncclBroadcast");
  }
  void exchange(std::span<const NcclBlock> send, std::span<const NcclBlock> receive) override {
    select();
    const ncclComm_t comm = living();  // who throws in a group leaves it open
    check(ncclGroupStart(), comm, "ncclGroupStart");
    ncclResult_t code = ncclSuccess;
    const auto keep_first = [&](ncclResult_t next) {
      if (code == ncclSuccess || code == ncclInProgress) code = next;
    };
    for (std::size_t r = 0; r < send.size(); ++r) {
      const int peer = static_cast<int>(r);
      if (send[r].bytes > 0)
        keep_first(ncclSend(send[r].data, count_of(send[r].bytes), ncclUint8, peer, comm, stream_));
      if (receive[r].bytes > 0)
        keep_first(
            ncclRecv(receive[r].data, count_of(receive[r].bytes), ncclUint8, peer, comm, stream_));
    }
    keep_first(ncclGroupEnd());
    check(code, comm, "ncclSend and ncclRecv");
  }

 private:
  void select() const { check(cudaSetDevice(device_), fmt::format("device {}", device_)); }

  ncclComm_t living() const {
    if (comm_ == nullptr) throw CommunicationError("NCCL: this communicator was aborted");
    return comm_;
  }

  void copy(void* to, const void* from, std::int64_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    select();
    check(cudaMemcpyAsync(to, from, count_of(bytes), kind, stream_), "a copy");
  }

  // What is in flight ends first; NCCL's own end would wait for ever for a peer that is gone.
  void leave() {
    if (comm_ == nullptr || !done()) return;
    check(ncclCommFinalize(comm_), comm_, "ncclCommFinalize");
    ncclResult_t state = ncclInProgress;
    for (Patience patience; state == ncclInProgress && patience.waited_s() < kFarewellS;
         patience.pause())
      check(ncclCommGetAsyncError(comm_, &state), comm_, "ncclCommGetAsyncError");
    if (state != ncclSuccess) return;
    static_cast<void>(ncclCommDestroy(comm_));
    comm_ = nullptr;
  }

  void free_memory() {
    if (memory_ != nullptr) static_cast<void>(cudaFreeAsync(memory_, stream_));
    memory_ = nullptr;
    memory_bytes_ = 0;
  }

  void release() noexcept {
    try {
      leave();
    } catch (const std::exception&) {  // it is given up then
    }
    abort();
    if (stream_ == nullptr) return;
    free_memory();
    static_cast<void>(cudaStreamDestroy(stream_));
    stream_ = nullptr;
  }

  const int device_;
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  std::byte* memory_ = nullptr;
  std::int64_t memory_bytes_ = 0;
};

class LibraryDevice final : public NcclDevice {
 public:
  explicit LibraryDevice(int index) : index_(index) {}

  NcclId make_id() override {
    ncclUniqueId made;
    check(ncclGetUniqueId(&made), nullptr, "ncclGetUniqueId");
    NcclId id = {};
    std::copy(std::begin(made.internal), std::end(made.internal), id.begin());
    return id;
  }
  std::unique_ptr<NcclComm> join(const NcclId& id, int size, int rank) override {
    return std::make_unique<LibraryComm>(index_, id, size, rank);
  }

 private:
  const int index_;
};

}  // namespace

bool has_nccl() {
  return true;
}

std::string nccl_library() {
  int nccl = 0;
  int cuda = 0;
  if (ncclGetVersion(&nccl) != ncclSuccess || cudaRuntimeGetVersion(&cuda) != cudaSuccess)
    return "NCCL that does not tell its version";
  return fmt::format("NCCL {}.{}.{}, CUDA runtime {}.{}", nccl / 10000, nccl / 100 % 100,
                     nccl % 100, cuda / 1000, cuda % 1000 / 10);
}

Result<int> num_nccl_devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return count;
  static_cast<void>(cudaGetLastError());
  return fail(
      ErrorCode::not_found,
      fmt::format("NCCL: got no GPU ({}), expected one for each rank", words_for_no_device(code)),
      "`nvidia-smi` shows what the driver sees; ranks of a computer without GPUs are "
      "connected by threads or MPI");
}

Result<std::unique_ptr<NcclDevice>> make_nccl_device(int index) {
  TERA_TRY(const int count, num_nccl_devices());
  if (index < 0 || index >= count) {
    return fail(ErrorCode::not_found,
                fmt::format("NCCL: got a computer with {} for rank {} of those on it, expected one "
                            "for each",
                            counted(count, "GPU"), index),
                "start as many ranks on a computer as it has GPUs");
  }
  return std::make_unique<LibraryDevice>(index);
}

}  // namespace tera::comm
