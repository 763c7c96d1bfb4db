// What the files that call MPI share: errors as exceptions, and how a rank waits.
#pragma once
#include <chrono>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <mpi.h>

#include "core/base/clock.h"
#include "core/base/error.h"

namespace tera::comm {

// CommunicationError with MPI's own words unless `code` is success.
inline void check(int code, std::string_view where) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommunicationError(
      fmt::format("{}: {}", where, std::string_view(text, static_cast<std::size_t>(length))));
}

// How a rank waits: as long as a message of some size takes it keeps its processor, unless another
// rank needs that one; then it lets others go first; after a hundredth of a second it sleeps, for
// what it waits for takes longer than waking up.
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
