// Finds resources/ in the source tree, the build tree or the installed tree.
#pragma once
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace tera {

// Directory that holds models/, clusters/, runs/ ... Order: $TERA_RESOURCE_DIR, share/teragpt
// beside the installed program, the source tree the program was built from.
Result<std::filesystem::path> resource_dir();
// resource_path("models/tiny-moe.yaml"): error not_found names the places looked at.
Result<std::filesystem::path> resource_path(std::string_view relative);
// Names (without extension) of the files in a folder of resources, sorted.
Result<std::vector<std::string>> resource_names(std::string_view folder,
                                                std::string_view extension);

}  // namespace tera
