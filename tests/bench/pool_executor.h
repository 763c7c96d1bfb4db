// An Executor on the pool the engine uses, with scratch of its own.
#pragma once
#include <array>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

#include "core/base/thread_pool.h"
#include "kernels/ops.h"

namespace tera::kernels::bench {

class PoolExecutor : public Executor {
 public:
  explicit PoolExecutor(int threads)
      : pool_(threads), areas_(static_cast<std::size_t>(pool_.size()) + 1) {}

  int num_workers() const override { return pool_.size(); }
  void parallel_for(std::int64_t num_tasks,
                    const std::function<void(std::int64_t, int)>& body) override {
    pool_.parallel_for(num_tasks, body);
  }
  std::byte* scratch(int worker, int slot, std::size_t bytes) override {
    Area& area = areas_[static_cast<std::size_t>(worker + 1)][static_cast<std::size_t>(slot)];
    if (area.bytes < bytes) {
      area.bytes = (bytes + 63) / 64 * 64;
      area.memory.reset(static_cast<std::byte*>(std::aligned_alloc(64, area.bytes)));
    }
    return area.memory.get();
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  struct Area {
    std::unique_ptr<std::byte, Free> memory;
    std::size_t bytes = 0;
  };

  ThreadPool pool_;
  std::vector<std::array<Area, 4>> areas_;
};

}  // namespace tera::kernels::bench
