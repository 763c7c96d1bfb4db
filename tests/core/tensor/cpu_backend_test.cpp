#include "core/tensor/cpu_backend.h"

#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/tensor/tensor.h"

namespace tera {
namespace {

std::uintptr_t address(const std::shared_ptr<std::byte>& memory) {
  return reinterpret_cast<std::uintptr_t>(memory.get());
}

TEST(CpuBackend, CountsExactBytesPerKind) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  auto weights = backend->allocate(1001, MemoryKind::weights);
  auto first = backend->allocate(7, MemoryKind::activations);
  auto second = backend->allocate(100, MemoryKind::activations);
  first.reset();
  const auto third = backend->allocate(50, MemoryKind::activations);
  EXPECT_EQ(backend->counter(MemoryKind::weights).live_bytes, 1001);
  EXPECT_EQ(backend->counter(MemoryKind::activations).live_bytes, 150);
  EXPECT_EQ(backend->counter(MemoryKind::activations).peak_bytes, 150);
  second.reset();
  EXPECT_EQ(backend->counter(MemoryKind::activations).live_bytes, 50);
  EXPECT_EQ(backend->counter(MemoryKind::activations).peak_bytes, 150);
  backend->reset_peaks();
  EXPECT_EQ(backend->counter(MemoryKind::activations).peak_bytes, 50);
  EXPECT_EQ(backend->counter(MemoryKind::optimizer).peak_bytes, 0);
  EXPECT_THROW(backend->allocate(-1, MemoryKind::weights), ContractError);
}

TEST(CpuBackend, CountsMemoryAsAnotherKindFromThenOn) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  const auto other = make_cpu_backend(pool, CpuOps::reference);
  auto memory = backend->allocate(70, MemoryKind::workspace);
  backend->recount(memory, MemoryKind::activations);
  EXPECT_EQ(backend->counter(MemoryKind::workspace).live_bytes, 0);
  EXPECT_EQ(backend->counter(MemoryKind::workspace).peak_bytes, 70);
  EXPECT_EQ(backend->counter(MemoryKind::activations).peak_bytes, 70);
  memory.reset();
  EXPECT_EQ(backend->counter(MemoryKind::activations).live_bytes, 0);
  EXPECT_EQ(backend->counter(MemoryKind::workspace).live_bytes, 0);
  EXPECT_THROW(other->recount(backend->allocate(1, MemoryKind::workspace), MemoryKind::weights),
               ContractError);
}

// Operations that nobody waits for any more end on threads of their own.
TEST(CpuBackend, TakesMemoryBackOnAnyThread) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  std::vector<std::shared_ptr<std::byte>> blocks(100'000);
  for (auto& block : blocks)
    block = backend->allocate(100, MemoryKind::activations);
  {
    std::atomic<bool> ended = false;
    const std::jthread ends([&] {
      for (auto& block : blocks)
        block.reset();
      ended = true;
    });
    while (!ended)
      backend->allocate(50, MemoryKind::activations);
  }
  EXPECT_EQ(backend->counter(MemoryKind::activations).live_bytes, 0);
}

TEST(CpuBackend, ReusesFreedMemory) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  std::set<std::uintptr_t> seen;
  for (int step = 0; step < 50; ++step) {
    const auto a = backend->allocate(10000, MemoryKind::workspace);
    const auto b = backend->allocate(9999, MemoryKind::activations);
    seen.insert({address(a), address(b)});
    EXPECT_NE(address(a), address(b));
  }
  EXPECT_EQ(seen.size(), 2U);
}

TEST(CpuBackend, TensorsMayDieAfterIt) {
  ThreadPool pool(1);
  auto backend = make_cpu_backend(pool, CpuOps::reference);
  auto memory = backend->allocate(1 << 20, MemoryKind::weights);
  backend.reset();
  std::memset(memory.get(), 1, 1 << 20);  // a sanitizer would object to freed memory
  memory.reset();
}

TEST(CpuBackend, NamesItsOps) {
  ThreadPool pool(1);
  EXPECT_EQ(make_cpu_backend(pool, CpuOps::reference)->name(), "ref");
  EXPECT_EQ(make_cpu_backend(pool)->name(), "cpu");
  EXPECT_EQ(&make_cpu_backend(pool, CpuOps::reference)->ops(), &kernels::ref_ops());
}

TEST(CpuBackend, ExecutorRunsEveryTaskOnce) {
  ThreadPool pool(3);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  kernels::Executor& executor = *backend->context().executor;
  EXPECT_EQ(executor.num_workers(), 3);
  std::vector<std::atomic<int>> runs(100);
  executor.parallel_for(100, [&](std::int64_t task, int worker) {
    EXPECT_TRUE(worker >= 0 && worker < 3);
    ++runs[static_cast<std::size_t>(task)];
  });
  for (const std::atomic<int>& count : runs)
    EXPECT_EQ(count, 1);
}

TEST(CpuBackend, ScratchIsPerWorkerAndSlotAndGrows) {
  ThreadPool pool(2);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  kernels::Executor& executor = *backend->context().executor;
  std::set<std::byte*> areas;
  for (const int worker : {-1, 0, 1}) {
    for (const int slot : {0, 1, 2, 3}) {
      std::byte* area = executor.scratch(worker, slot, 100);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(area) % 64, 0U);
      EXPECT_TRUE(areas.insert(area).second);
      EXPECT_EQ(executor.scratch(worker, slot, 50), area) << "kept between calls";
    }
  }
  std::memset(executor.scratch(1, 2, 1 << 22), 1, 1 << 22);
  EXPECT_THROW(executor.scratch(2, 0, 1), ContractError);
  EXPECT_THROW(executor.scratch(0, 4, 1), ContractError);
  EXPECT_TRUE(areas.insert(executor.scratch(-1, 15, 100)).second);
  EXPECT_THROW(executor.scratch(-1, 16, 1), ContractError);
}

TEST(CpuBackend, MemoryBeyondTheMachineIsAnErrorAndNotTheEnd) {
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  EXPECT_THROW(backend->allocate(std::int64_t{1} << 60, MemoryKind::weights), std::bad_alloc);
  EXPECT_EQ(backend->counter(MemoryKind::weights).live_bytes, 0);
  EXPECT_NE(backend->allocate(100, MemoryKind::weights), nullptr);
}

}  // namespace
}  // namespace tera
