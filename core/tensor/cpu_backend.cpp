#include "core/tensor/cpu_backend.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include <sys/mman.h>

#include "core/base/check.h"
#include "core/tensor/arena.h"

namespace tera {
namespace {

// The arena and the counters. Shared by the backend and every tensor, so that a tensor that dies
// after its backend still finds where to return its block, on whichever thread: operations between
// ranks that nobody waits for, as after an error, hold theirs till they end.
class Memory {
 public:
  std::byte* take(std::int64_t bytes, MemoryKind kind) {
    const std::scoped_lock lock(mutex_);
    const auto size = static_cast<std::size_t>(bytes);
    std::byte* block = kind == MemoryKind::gradients ? arena_.take_high(size) : arena_.take(size);
    count(bytes, kind);
    return block;
  }

  void recount(std::int64_t bytes, MemoryKind from, MemoryKind to) {
    const std::scoped_lock lock(mutex_);
    counters_[static_cast<std::size_t>(from)].live_bytes -= bytes;
    count(bytes, to);
  }

  void give_back(std::byte* block, std::int64_t bytes, MemoryKind kind) noexcept {
    const std::scoped_lock lock(mutex_);
    counters_[static_cast<std::size_t>(kind)].live_bytes -= bytes;
    arena_.give_back(block, static_cast<std::size_t>(bytes));
  }

  MemoryCounter counter(MemoryKind kind) const {
    const std::scoped_lock lock(mutex_);
    return counters_[static_cast<std::size_t>(kind)];
  }

  void reset_peaks() {
    const std::scoped_lock lock(mutex_);
    for (MemoryCounter& c : counters_)
      c.peak_bytes = c.live_bytes;
  }

 private:
  void count(std::int64_t bytes, MemoryKind kind) {  // holds the lock
    MemoryCounter& c = counters_[static_cast<std::size_t>(kind)];
    c.live_bytes += bytes;
    c.peak_bytes = std::max(c.peak_bytes, c.live_bytes);
  }

  mutable std::mutex mutex_;
  Arena arena_;
  std::array<MemoryCounter, kNumMemoryKinds> counters_;
};

// Deleter of what is allocated.
struct GiveBack {
  std::shared_ptr<Memory> memory;
  std::int64_t bytes;
  MemoryKind kind;
  void operator()(std::byte* block) const noexcept { memory->give_back(block, bytes, kind); }
};

// Runs ops on the pool; scratch areas per worker, and one set for the calling thread (worker -1).
class PoolExecutor final : public kernels::Executor {
 public:
  explicit PoolExecutor(ThreadPool& pool)
      : pool_(pool), areas_(static_cast<std::size_t>(pool.size()) + 1) {}

  int num_workers() const override { return pool_.size(); }

  void parallel_for(std::int64_t num_tasks,
                    const std::function<void(std::int64_t, int)>& body) override {
    pool_.parallel_for(num_tasks, body);
  }

  std::byte* scratch(int worker, int slot, std::size_t bytes) override {
    const int num_slots = worker < 0 ? kCallerSlots : kWorkerSlots;
    TERA_CHECK(worker >= -1 && worker < pool_.size() && slot >= 0 && slot < num_slots,
               "scratch of worker {}, slot {}: there are workers -1 to {}, slots 0 to {}", worker,
               slot, pool_.size() - 1, num_slots - 1);
    Area& area = areas_[static_cast<std::size_t>(worker + 1)].slots[static_cast<std::size_t>(slot)];
    if (area.bytes < bytes || area.memory == nullptr) {
      area.memory.reset();
      area.bytes = 0;
      area.memory.reset(new_block(bytes));
      area.bytes = bytes;
    }
    return area.memory.get();
  }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20U;
  static constexpr int kWorkerSlots = 4;
  static constexpr int kCallerSlots = 16;
  struct Free {
    void operator()(std::byte* block) const { std::free(block); }
  };
  struct Area {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t bytes = 0;
  };
  // Its own, as the arena is the calling thread's.
  static std::byte* new_block(std::size_t bytes) {
    const std::size_t alignment = bytes >= kHugePage ? kHugePage : Arena::kAlignment;
    const std::size_t size =
        (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    void* const block = std::aligned_alloc(alignment, size);
    if (block == nullptr) throw std::bad_alloc();
    if (alignment == kHugePage) static_cast<void>(madvise(block, size, MADV_HUGEPAGE));
    return static_cast<std::byte*>(block);
  }
  struct alignas(Arena::kAlignment)
      WorkerAreas {  // one cache line apart: workers grow them at once
    std::array<Area, kCallerSlots> slots;
  };

  ThreadPool& pool_;
  std::vector<WorkerAreas> areas_;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(ThreadPool& pool, CpuOps ops)
      : ops_(ops == CpuOps::fast ? kernels::cpu_ops() : kernels::ref_ops()),
        name_(ops == CpuOps::fast ? "cpu" : "ref"),
        executor_(pool),
        context_{.executor = &executor_},
        memory_(std::make_shared<Memory>()) {}

  std::string_view name() const override { return name_; }

  std::shared_ptr<std::byte> allocate(std::int64_t bytes, MemoryKind kind) override {
    TERA_CHECK(bytes >= 0, "allocation of {} bytes", bytes);
    return {memory_->take(bytes, kind), GiveBack{memory_, bytes, kind}};
  }

  void recount(const std::shared_ptr<std::byte>& memory, MemoryKind kind) override {
    GiveBack* const owner = std::get_deleter<GiveBack>(memory);
    TERA_CHECK(owner != nullptr && owner->memory == memory_, "recount of another's memory");
    memory_->recount(owner->bytes, owner->kind, kind);
    owner->kind = kind;
  }

  const kernels::OpTable& ops() const override { return ops_; }
  const kernels::Context& context() const override { return context_; }
  MemoryCounter counter(MemoryKind kind) const override { return memory_->counter(kind); }
  void reset_peaks() override { memory_->reset_peaks(); }

 private:
  const kernels::OpTable& ops_;
  std::string_view name_;
  PoolExecutor executor_;
  kernels::Context context_;
  std::shared_ptr<Memory> memory_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(ThreadPool& pool, CpuOps ops) {
  return std::make_unique<CpuBackend>(pool, ops);
}

}  // namespace tera
