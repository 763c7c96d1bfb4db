#include "core/base/thread_pool.h"

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tera {
namespace {

TEST(ThreadPool, RunsEveryTaskOnceOnAWorkerInRange) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const std::int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(static_cast<std::size_t>(tasks));
      std::atomic<bool> in_range{true};
      pool.parallel_for(tasks, [&](std::int64_t task, int worker) {
        hits[static_cast<std::size_t>(task)].fetch_add(1);
        if (worker < 0 || worker >= threads) in_range = false;
      });
      EXPECT_TRUE(in_range);
      for (const auto& hit : hits)
        EXPECT_EQ(hit.load(), 1);
    }
  }
}

TEST(ThreadPool, ManyShortLoopsSeeEachOthersWrites) {
  constexpr int kLoops = 5000;
  ThreadPool pool(3);
  std::vector<std::int64_t> values(64, 0);
  for (int loop = 0; loop < kLoops; ++loop) {
    pool.parallel_for(64,
                      [&](std::int64_t task, int) { ++values[static_cast<std::size_t>(task)]; });
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), std::int64_t{0}), 64 * kLoops);
}

TEST(ThreadPool, WorkersThatComeLateFindTheLoopOver) {
  ThreadPool pool(4 * ThreadPool::available_processors());  // most get no processor in time
  for (int loop = 0; loop < 5000; ++loop) {
    std::vector<int> done(2, 0);  // gone when a late worker would write to it
    pool.parallel_for(2,
                      [&done](std::int64_t task, int) { ++done[static_cast<std::size_t>(task)]; });
    ASSERT_EQ(done, std::vector<int>({1, 1}));
  }
}

TEST(ThreadPool, RethrowsTheFirstExceptionAndStaysUsable) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.parallel_for(100,
                                 [](std::int64_t task, int) {
                                   if (task == 17) throw std::runtime_error("task 17");
                                 }),
               std::runtime_error);
  std::atomic<int> count{0};
  pool.parallel_for(10, [&](std::int64_t, int) { ++count; });
  EXPECT_EQ(count.load(), 10);
}

TEST(ThreadPool, NestedAndConcurrentCallsRunOnTheirOwnThread) {
  ThreadPool pool(2);
  std::atomic<int> inner{0};
  pool.parallel_for(4, [&](std::int64_t, int) {
    const auto self = std::this_thread::get_id();
    pool.parallel_for(8, [&](std::int64_t, int worker) {
      EXPECT_EQ(worker, 0);
      EXPECT_EQ(std::this_thread::get_id(), self);
      ++inner;
    });
  });
  EXPECT_EQ(inner.load(), 32);

  std::atomic<int> total{0};
  std::vector<std::jthread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i)
        pool.parallel_for(5, [&](std::int64_t, int) { ++total; });
    });
  }
  callers.clear();
  EXPECT_EQ(total.load(), 4 * 200 * 5);
}

TEST(ThreadPool, KnowsAtLeastOneProcessor) {
  EXPECT_GE(ThreadPool::available_processors(), 1);
}

}  // namespace
}  // namespace tera
