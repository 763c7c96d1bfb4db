#include "core/base/thread_pool.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <sched.h>
#include <unistd.h>

namespace tera {
namespace {

constexpr auto kSpin = std::chrono::microseconds(20);

void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// Waits until the value differs from `old`: spins first, then sleeps on the futex behind
// atomic::wait.
template <class T>
void wait_for_change(const std::atomic<T>& value, T old) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; value.load(std::memory_order_acquire) == old; ++i) {
    relax();
    if (i % 64 == 63 && std::chrono::steady_clock::now() - start > kSpin) {
      value.wait(old, std::memory_order_acquire);
      return;
    }
  }
}

}  // namespace

struct ThreadPool::State {
  static constexpr std::int32_t kClosed = 1 << 30;

  std::vector<std::thread> threads;
  std::atomic_flag busy;  // set while a loop runs
  std::atomic<std::uint32_t> generation{0};
  std::atomic<std::int32_t> gate{kClosed};  // of the loop that runs: workers inside; kClosed added
                                            // once nobody enters any more
  std::atomic<bool> quit{false};

  const std::function<void(std::int64_t, int)>* body = nullptr;
  std::int64_t num_tasks = 0;
  std::atomic<std::int64_t> next_task{0};

  std::mutex error_mutex;
  std::exception_ptr error;

  void run_tasks(int worker) {
    try {
      for (;;) {
        const std::int64_t task = next_task.fetch_add(1, std::memory_order_relaxed);
        if (task >= num_tasks) return;
        (*body)(task, worker);
      }
    } catch (...) {
      const std::scoped_lock lock(error_mutex);
      if (!error) error = std::current_exception();
      next_task.store(num_tasks, std::memory_order_relaxed);
    }
  }

  // False where the loop is over: a worker that comes late is not waited for.
  bool enter() {
    std::int32_t inside = gate.load(std::memory_order_relaxed);
    while (inside < kClosed) {
      if (gate.compare_exchange_weak(inside, inside + 1, std::memory_order_acquire)) return true;
    }
    return false;
  }

  void leave() {
    if (gate.fetch_sub(1, std::memory_order_acq_rel) == kClosed + 1) gate.notify_one();
  }

  void work(int worker) {
    std::uint32_t seen = 0;
    for (;;) {
      wait_for_change(generation, seen);
      seen = generation.load(std::memory_order_acquire);
      if (quit.load(std::memory_order_acquire)) return;
      if (!enter()) continue;
      run_tasks(worker);
      leave();
    }
  }
};

ThreadPool::ThreadPool(int num_threads)
    : state_(std::make_unique<State>()),
      num_threads_(num_threads > 0 ? num_threads : available_processors()) {
  for (int worker = 1; worker < num_threads_; ++worker) {
    state_->threads.emplace_back([state = state_.get(), worker] { state->work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  state_->quit.store(true, std::memory_order_release);
  state_->generation.fetch_add(1, std::memory_order_acq_rel);
  state_->generation.notify_all();
  for (std::thread& thread : state_->threads)
    thread.join();
}

void ThreadPool::parallel_for(std::int64_t num_tasks,
                              const std::function<void(std::int64_t, int)>& body) {
  if (num_tasks <= 0) return;
  if (num_threads_ == 1 || num_tasks == 1 || state_->busy.test_and_set(std::memory_order_acquire)) {
    for (std::int64_t task = 0; task < num_tasks; ++task)
      body(task, 0);
    return;
  }
  State& s = *state_;
  s.body = &body;
  s.num_tasks = num_tasks;
  s.error = nullptr;
  s.next_task.store(0, std::memory_order_relaxed);
  s.gate.store(0, std::memory_order_release);
  s.generation.fetch_add(1, std::memory_order_acq_rel);
  s.generation.notify_all();
  s.run_tasks(0);
  s.gate.fetch_add(State::kClosed, std::memory_order_acq_rel);
  for (std::int32_t inside = s.gate.load(std::memory_order_acquire); inside != State::kClosed;
       inside = s.gate.load(std::memory_order_acquire)) {
    wait_for_change(s.gate, inside);
  }
  s.body = nullptr;
  const std::exception_ptr error = std::move(s.error);
  s.busy.clear(std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

int ThreadPool::available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = 1;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) count = CPU_COUNT(&set);
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r"); file != nullptr) {
    double quota = 0;
    double period = 0;
    if (std::fscanf(file, "%lf %lf", &quota, &period) == 2 && quota > 0 && period > 0) {
      count = std::min(count, static_cast<int>(std::ceil(quota / period)));
    }
    static_cast<void>(std::fclose(file));
  }
  return std::max(1, count);
}

}  // namespace tera
