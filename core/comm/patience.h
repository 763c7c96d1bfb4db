// How a rank waits for others without blocking in a library.
#pragma once
#include <chrono>
#include <thread>

#include "core/base/clock.h"

namespace tera::comm {

// As long as a message of some size takes a rank keeps its processor, unless another rank needs
// that one; then it lets others go first; after a hundredth of a second it sleeps, for what it
// waits for takes longer than waking up.
class Patience {
 public:
  explicit Patience(bool has_processor = false) : keeps_s_(has_processor ? 500e-6 : 0) {}
  void pause() {
    if (++turns_ < 64) return;
    const double waited = waited_s();
    if (waited < keeps_s_) return;
    if (waited < 0.01) return std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  double waited_s() const { return monotonic_s() - start_s_; }
  bool listens() const { return turns_ % 64 == 0 || turns_ > 4096; }

 private:
  const double keeps_s_;
  const double start_s_ = monotonic_s();
  int turns_ = 0;
};

}  // namespace tera::comm
