#include "core/tensor/cpu_backend.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <map>
#include <new>
#include <vector>

#include <sys/mman.h>

#include "core/base/check.h"

namespace tera {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20U;
// From this size on a block starts on a huge page: fewer page faults and TLB misses.
constexpr std::size_t kHugeBlock = 2 * kHugePage;

std::size_t round_up(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

std::byte* new_block(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugeBlock ? kHugePage : kAlignment;
  void* block = std::aligned_alloc(alignment, round_up(bytes, alignment));
  if (block == nullptr) throw std::bad_alloc();
  // Advice: without huge pages the block works all the same.
  if (bytes >= kHugeBlock)
    static_cast<void>(madvise(block, round_up(bytes, alignment), MADV_HUGEPAGE));
  return static_cast<std::byte*>(block);
}

// Size of the block that serves a request: eight sizes per power of two, so that nearly equal
// requests (a shorter batch, a longer prompt) share blocks and at most an eighth is unused.
std::size_t block_size(std::int64_t bytes) {
  const auto wanted = std::max(static_cast<std::size_t>(bytes), kAlignment);
  return round_up(wanted, std::max(kAlignment, std::bit_floor(wanted) / 8));
}

// Blocks in use and free, and the counters. Shared by the backend and every tensor, so that a
// tensor that dies after its backend still finds where to return its block.
class Blocks {
 public:
  Blocks() = default;
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;
  ~Blocks() { release_free(); }

  std::byte* take(std::int64_t bytes, MemoryKind kind) {
    std::byte* block = take_block(block_size(bytes));
    MemoryCounter& c = counters_[static_cast<std::size_t>(kind)];
    c.live_bytes += bytes;
    c.peak_bytes = std::max(c.peak_bytes, c.live_bytes);
    return block;
  }

  void give_back(std::byte* block, std::int64_t bytes, MemoryKind kind) noexcept {
    counters_[static_cast<std::size_t>(kind)].live_bytes -= bytes;
    try {
      free_[block_size(bytes)].push_back(block);
    } catch (const std::bad_alloc&) {
      std::free(block);
    }
  }

  MemoryCounter counter(MemoryKind kind) const { return counters_[static_cast<std::size_t>(kind)]; }

  void reset_peaks() {
    for (MemoryCounter& c : counters_)
      c.peak_bytes = c.live_bytes;
  }

 private:
  std::byte* take_block(std::size_t size) {
    const auto found = free_.find(size);
    if (found != free_.end() && !found->second.empty()) {
      std::byte* block = found->second.back();
      found->second.pop_back();
      return block;
    }
    try {
      return new_block(size);
    } catch (const std::bad_alloc&) {
      release_free();  // free blocks of other sizes may be what is missing
      return new_block(size);
    }
  }

  void release_free() {
    for (const auto& [size, blocks] : free_) {
      for (std::byte* block : blocks)
        std::free(block);
    }
    free_.clear();
  }

  std::map<std::size_t, std::vector<std::byte*>> free_;  // by block size
  std::array<MemoryCounter, kNumMemoryKinds> counters_;
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
      area.bytes = block_size(static_cast<std::int64_t>(bytes));
      area.memory.reset(new_block(area.bytes));
    }
    return area.memory.get();
  }

 private:
  static constexpr int kWorkerSlots = 4;
  static constexpr int kCallerSlots = 16;
  struct Free {
    void operator()(std::byte* block) const { std::free(block); }
  };
  struct Area {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t bytes = 0;
  };
  struct alignas(kAlignment) WorkerAreas {  // one cache line apart: workers grow them at once
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
        blocks_(std::make_shared<Blocks>()) {}

  std::string_view name() const override { return name_; }

  std::shared_ptr<std::byte> allocate(std::int64_t bytes, MemoryKind kind) override {
    TERA_CHECK(bytes >= 0, "allocation of {} bytes", bytes);
    return {blocks_->take(bytes, kind), [blocks = blocks_, bytes, kind](std::byte* block) {
              blocks->give_back(block, bytes, kind);
            }};
  }

  const kernels::OpTable& ops() const override { return ops_; }
  const kernels::Context& context() const override { return context_; }
  MemoryCounter counter(MemoryKind kind) const override { return blocks_->counter(kind); }
  void reset_peaks() override { blocks_->reset_peaks(); }

 private:
  const kernels::OpTable& ops_;
  std::string_view name_;
  PoolExecutor executor_;
  kernels::Context context_;
  std::shared_ptr<Blocks> blocks_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(ThreadPool& pool, CpuOps ops) {
  return std::make_unique<CpuBackend>(pool, ops);
}

}  // namespace tera
