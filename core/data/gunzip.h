// Unpacks gzip files (dictzip files are gzip files) with bounds against bombs.
#pragma once
#include <filesystem>
#include <string>

#include "core/base/result.h"

namespace tera::data {

// Errors: not gzip, cut short, more than max_bytes, or more than 200 times its packed size.
Result<std::string> gunzip_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace tera::data
