// ProcessId: one process for good. A pid alone is reused, so it is kept together with the start
// time and the boot it belongs to.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace tera::run {

struct ProcessId {
  std::int64_t pid = 0;
  std::int64_t starttime = 0;  // clock ticks from boot to its start, /proc/<pid>/stat
  std::string boot_id;         // of the machine it runs on, new at every boot
  bool operator==(const ProcessId&) const = default;
};

// Of this boot; empty where the system does not tell.
std::string boot_id();
ProcessId this_process();
// The process that has this pid now; absent when there is none or only its zombie.
std::optional<ProcessId> find_process(std::int64_t pid);
// The very process, not a later one with its pid, still runs on this machine.
bool is_alive(const ProcessId& process);

}  // namespace tera::run
