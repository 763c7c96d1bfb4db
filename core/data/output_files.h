// The files that a verb is about to write, looked at before it reads gigabytes for them.
#pragma once
#include <filesystem>
#include <span>
#include <string_view>

#include "core/base/vfs.h"

namespace tera::data {

// Whether PREFIX with each suffix can be written: the prefix names files, their folder takes new
// ones, and none of them is there unless they may be overwritten.
Result<void> check_output_files(Vfs& vfs,
                                const std::filesystem::path& prefix,
                                std::span<const std::string_view> suffixes,
                                bool overwrite);

}  // namespace tera::data
