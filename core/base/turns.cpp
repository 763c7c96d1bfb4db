#include "core/base/turns.h"

#include <utility>

#include "core/base/clock.h"

namespace tera {

Turns::~Turns() {
  {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Turns::Seconds Turns::run(const std::function<void()>& first, const std::function<void()>& second) {
  {
    const std::scoped_lock lock(mutex_);
    turn_ = Body::first;
    turn_begin_s_ = monotonic_s();
    took_ = {};
    num_running_ = 2;
    error_ = nullptr;
    second_ = &second;
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  }
  run_body(Body::first, first);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return num_running_ == 0; });
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
  return took_;
}

void Turns::pass_on() {
  std::unique_lock lock(mutex_);
  if (num_running_ < 2) return;
  const Body self = turn_;
  give_turn(self == Body::first ? Body::second : Body::first, lock);
  changed_.wait(lock, [&] { return turn_ == self; });
  if (error_ != nullptr) throw Stopped{};
}

void Turns::run_body(Body body, const std::function<void()>& code) {
  std::exception_ptr error;
  try {
    code();
  } catch (const Stopped&) {  // NOLINT(bugprone-empty-catch): what stopped it is kept
  } catch (...) {
    error = std::current_exception();
  }
  std::unique_lock lock(mutex_);
  if (error_ == nullptr) error_ = error;
  --num_running_;
  give_turn(body == Body::first ? Body::second : Body::first, lock);
}

void Turns::give_turn(Body to, std::unique_lock<std::mutex>& lock) {
  const double now_s = monotonic_s();
  (turn_ == Body::first ? took_.first : took_.second) += now_s - turn_begin_s_;
  turn_begin_s_ = now_s;
  turn_ = to;
  lock.unlock();
  changed_.notify_all();
  lock.lock();
}

void Turns::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock,
                  [this] { return closing_ || (second_ != nullptr && turn_ == Body::second); });
    if (second_ == nullptr) return;
    const std::function<void()>& code = *std::exchange(second_, nullptr);
    const bool stopped = error_ != nullptr;  // before it began
    lock.unlock();
    if (stopped)
      run_body(Body::second, [] {});
    else
      run_body(Body::second, code);
    lock.lock();
  }
}

}  // namespace tera
