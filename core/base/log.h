// Logging for people: spdlog with a rank prefix, to stderr or a file. Libraries log, never print.
#pragma once
#include <filesystem>
#include <string>

#include <spdlog/spdlog.h>

#include "core/base/result.h"

namespace tera {

// Sends log lines to stderr, prefixed "[rank]" when rank >= 0.
void log_to_stderr(int rank = -1);
// Appends log lines to a file (flushed per line), and to stderr when also_stderr.
Result<void> log_to_file(const std::filesystem::path& path, int rank, bool also_stderr);

}  // namespace tera
