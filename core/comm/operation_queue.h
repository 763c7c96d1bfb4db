// A thread that runs what it is given one after the other, as a stream of a device does.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

namespace tera::comm {

class OperationQueue {
 public:
  OperationQueue() = default;
  ~OperationQueue();  // runs what is left
  OperationQueue(const OperationQueue&) = delete;
  OperationQueue& operator=(const OperationQueue&) = delete;

  // The future becomes ready, or throws what `task` threw, when the task is over. The thread starts
  // with the first task.
  std::future<void> push(std::function<void()> task);
  // Nothing waits or runs. Stays so until the next push.
  bool idle() const;

 private:
  void work();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::packaged_task<void()>> tasks_;  // the first one is running
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace tera::comm
