// The most memory a process has had resident, as Linux counts it (/proc/PID/status, VmHWM).
#pragma once
#include <cstdint>
#include <optional>

namespace tera::app {

// From now on; nothing happens where the system does not allow it, and the peak is of the whole
// life of the process.
void restart_peak_memory(int pid);
// Bytes; nothing where the process has ended or /proc is missing.
std::optional<std::int64_t> peak_memory_bytes(int pid);

}  // namespace tera::app
