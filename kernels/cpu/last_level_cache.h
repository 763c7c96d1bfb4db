// How much of the last-level cache a processor has for itself.
#pragma once
#include <cstdint>
#include <filesystem>

namespace tera::kernels::cpu {

// Bytes of the last level that Linux lists in `folder` (/sys/devices/system/cpu/cpu0/cache: a
// folder index<i> for each cache with files level, type, size and shared_cpu_list), by the number
// of processors that share it; 0 where it lists none. Not sysconf: in virtual machines it adds up
// the caches of processors that the machine does not have.
std::int64_t last_level_cache_share(const std::filesystem::path& folder);

}  // namespace tera::kernels::cpu
