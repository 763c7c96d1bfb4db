// Turns: two bodies of code on two threads, of which one runs at a time and hands over where it
// would wait for something.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace tera {

class Turns {
 public:
  Turns() = default;
  ~Turns();
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  struct Seconds {  // that each body ran, without its waiting for the other
    double first = 0;
    double second = 0;
  };
  // Runs `first` on the calling thread and `second` on a thread of this object, beginning with
  // `first`. Returns when both have ended. A body that throws ends the other at its next pass_on();
  // the exception of the one that failed first comes out of here.
  Seconds run(const std::function<void()>& first, const std::function<void()>& second);

  // By the body that runs: the other goes on, if it has not ended; returns when it hands over in
  // turn or ends. What was written before is seen by the other.
  void pass_on();

 private:
  enum class Body : std::uint8_t { first, second };
  struct Stopped {};  // ends a body when the other has failed

  void run_body(Body body, const std::function<void()>& code);
  void give_turn(Body to, std::unique_lock<std::mutex>& lock);
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  Body turn_ = Body::first;
  double turn_begin_s_ = 0;
  Seconds took_;
  int num_running_ = 0;                            // bodies that have not ended
  std::exception_ptr error_;                       // of the body that failed first
  const std::function<void()>* second_ = nullptr;  // until its thread takes it up
  bool closing_ = false;
  std::thread thread_;  // of second bodies, from the first run on
};

}  // namespace tera
