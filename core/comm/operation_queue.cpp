#include "core/comm/operation_queue.h"

#include <memory>

namespace tera::comm {

OperationQueue::~OperationQueue() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::future<void> OperationQueue::push(std::function<void()> task) {
  // Who waits for the future may count on what the task held, tensors, to be free.
  const auto held = std::make_shared<std::function<void()>>(std::move(task));
  std::packaged_task<void()> packaged([held] {
    const std::function<void()> run = std::move(*held);
    *held = nullptr;
    run();
  });
  std::future<void> done = packaged.get_future();
  {
    const std::scoped_lock lock(mutex_);
    tasks_.push_back(std::move(packaged));
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  }
  changed_.notify_all();
  return done;
}

bool OperationQueue::idle() const {
  const std::scoped_lock lock(mutex_);
  return tasks_.empty();
}

void OperationQueue::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closing_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::packaged_task<void()> task = std::move(tasks_.front());
    lock.unlock();
    task();
    lock.lock();
    tasks_.pop_front();
  }
}

}  // namespace tera::comm
