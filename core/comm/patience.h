// How a rank waits for others without blocking in a library.
#pragma once
#include <chrono>
#include <thread>

#include "core/base/clock.h"

namespace tera::comm {

// As long as a message of some size takes a rank keeps its processor, unless another rank needs
// that one; then it lets others go first; after a hundredth of a second it sleeps, for what it
// waits for takes longer than waking up. Reading a clock takes a good part of what asking a library
// does: most turns go without.
class Patience {
 public:
  explicit Patience(bool has_processor = false) : keeps_s_(has_processor ? 500e-6 : 0) {}
  void pause() {
    if (++turns_ < 64 || (waited_s_ < keeps_s_ && turns_ % 16 != 0)) return;
    waited_s_ = monotonic_s() - start_s_;
    if (waited_s_ < keeps_s_) return;
    if (waited_s_ < 0.01) return std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  double start_s() const { return start_s_; }
  double waited_s() const { return waited_s_; }  // as pause() last read the clock
  bool listens() const { return turns_ % 64 == 63 || turns_ > 4096; }

 private:
  const double keeps_s_;
  const double start_s_ = monotonic_s();
  double waited_s_ = 0;
  int turns_ = 0;
};

}  // namespace tera::comm
