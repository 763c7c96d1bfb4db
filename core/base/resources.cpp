#include "core/base/resources.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <system_error>

#include <fmt/format.h>

namespace tera {
namespace {

namespace fs = std::filesystem;

// Places that may hold resources/, best first.
std::vector<fs::path> candidates() {
  std::vector<fs::path> places;
  if (const char* given = std::getenv("TERA_RESOURCE_DIR"); given != nullptr && *given != '\0') {
    places.emplace_back(given);
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) places.push_back(program.parent_path().parent_path() / "share" / "teragpt");
  places.emplace_back(TERA_SOURCE_RESOURCE_DIR);  // where the program was built from
  return places;
}

}  // namespace

Result<fs::path> resource_dir() {
  std::string looked;
  for (const fs::path& place : candidates()) {
    std::error_code error;
    if (fs::is_directory(place / "models", error)) return place;
    looked += (looked.empty() ? "" : ", ") + place.string();
  }
  return fail(ErrorCode::not_found,
              fmt::format("TeraGPT's resources were not found; looked in {}", looked),
              "reinstall, or set TERA_RESOURCE_DIR to the folder that holds models/ and clusters/");
}

Result<fs::path> resource_path(std::string_view relative) {
  TERA_TRY(const fs::path dir, resource_dir());
  const fs::path path = dir / relative;
  std::error_code error;
  if (!fs::exists(path, error)) {
    return fail(ErrorCode::not_found, fmt::format("no resource {} in {}", relative, dir.string()));
  }
  return path;
}

Result<std::vector<std::string>> resource_names(std::string_view folder,
                                                std::string_view extension) {
  TERA_TRY(const fs::path dir, resource_path(folder));
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, error)) {
    if (entry.path().extension() == extension) names.push_back(entry.path().stem().string());
  }
  if (error) {
    return fail(ErrorCode::io, fmt::format("cannot list {}: {}", dir.string(), error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tera
