#include "app/teragpt/peak_memory.h"

#include <fstream>
#include <string>

#include <fmt/format.h>

namespace tera::app {

void restart_peak_memory(int pid) {
  std::ofstream(fmt::format("/proc/{}/clear_refs", pid)) << '5';
}

std::optional<std::int64_t> peak_memory_bytes(int pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string word; status >> word;) {
    std::int64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return std::nullopt;
}

}  // namespace tera::app
