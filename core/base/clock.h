// Seconds, as they are written into files and as they are measured.
#pragma once
#include <chrono>

namespace tera {

// Since 1970, UTC.
inline double wall_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Since some moment; never set back.
inline double monotonic_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace tera
