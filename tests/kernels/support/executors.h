// Executors for tests: one thread, or a few that take tasks in whatever order they get to them.
#pragma once
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/ops.h"

namespace tera::kernels::test {

class ThreadExecutor : public Executor {
 public:
  explicit ThreadExecutor(int num_workers) : num_workers_(num_workers) {}

  int num_workers() const override { return num_workers_; }

  void parallel_for(std::int64_t num_tasks,
                    const std::function<void(std::int64_t, int)>& body) override {
    std::atomic<std::int64_t> next{0};
    std::mutex mutex;
    std::exception_ptr error;
    const auto work = [&](int worker) {
      try {
        for (std::int64_t task = next++; task < num_tasks; task = next++)
          body(task, worker);
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
      }
    };
    std::vector<std::thread> threads;
    for (int worker = 1; worker < num_workers_; ++worker)
      threads.emplace_back(work, worker);
    work(0);
    for (std::thread& thread : threads)
      thread.join();
    if (error) std::rethrow_exception(error);
  }

  // New memory is filled with NaN patterns: an op that trusts undefined content shows itself.
  std::byte* scratch(int worker, int slot, std::size_t bytes) override {
    const std::lock_guard lock(mutex_);
    Area& area = areas_[{worker, slot}];
    if (area.bytes < bytes) {
      const std::size_t rounded = (bytes + 63) / 64 * 64;
      area.memory.reset(static_cast<std::byte*>(std::aligned_alloc(64, rounded)));
      area.bytes = rounded;
      std::memset(area.memory.get(), 0xff, rounded);
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

  int num_workers_;
  std::mutex mutex_;
  std::map<std::pair<int, int>, Area> areas_;
};

}  // namespace tera::kernels::test
