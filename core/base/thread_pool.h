// A persistent pool of workers for data-parallel loops. Passed in, never global.
//
// Workers spin for about 20 us after a loop and then sleep on a futex: short loops that follow each
// other cost under a microsecond to start, and an idle or crowded machine is left alone (a spinning
// OpenMP barrier costs a scheduler tick each when another process competes for the core). A loop
// ends with its last task: a worker that got no processor meanwhile is not waited for.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace tera {

class ThreadPool {
 public:
  // num_threads includes the calling thread; 0 takes the number of processors this process may use.
  explicit ThreadPool(int num_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Calls body(task, worker) once for each task in [0, num_tasks), in any order, on any worker in
  // [0, size()), and returns when all are done. The first exception thrown is rethrown here. One
  // loop at a time: a nested or concurrent call runs on its own thread alone, as worker 0.
  void parallel_for(std::int64_t num_tasks,
                    const std::function<void(std::int64_t task, int worker)>& body);

  int size() const { return num_threads_; }

  // Processors this process may run on (affinity mask and cgroup quota), at least 1.
  static int available_processors();

 private:
  struct State;
  std::unique_ptr<State> state_;
  int num_threads_ = 1;
};

}  // namespace tera
