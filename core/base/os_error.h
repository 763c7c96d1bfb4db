// Errors of system calls in words a person can act on.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>

#include <sys/types.h>

#include "core/base/result.h"

namespace tera {

// The Error of a system call that failed: "cannot write PATH: no space left on device (needs ...)",
// with what to do about it. needed_bytes > 0 is named beside the free bytes when the disk is full.
Error os_error(std::string_view operation,
               const std::filesystem::path& path,
               int error_number,
               std::uint64_t needed_bytes = 0);

// Refuses what is read like a file but is none: folders, pipes, sockets and devices, which would
// keep a reader waiting or never end. `mode` is st_mode of stat.
Result<void> check_regular_file(const std::filesystem::path& path, mode_t mode);

}  // namespace tera
