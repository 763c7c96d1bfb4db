// Files of lines that only grow: events and metrics.
#pragma once
#include <filesystem>
#include <memory>

#include "core/base/vfs.h"

namespace tera::run {

// Opens for appending; ends a torn last line (its writer died in the middle) with a newline, so
// that it spoils no line but itself.
Result<std::unique_ptr<WritableFile>> open_line_file(Vfs& vfs, const std::filesystem::path& path);

}  // namespace tera::run
