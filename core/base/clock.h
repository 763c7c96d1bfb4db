// Time as it is written into files: seconds since 1970, UTC.
#pragma once
#include <chrono>

namespace tera {

inline double wall_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace tera
