// What dpkg knows of an installed package: its version, its files, and where its licence stands.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace tera::data {

struct DebianPackage {
  std::string name;
  std::string version;
  std::vector<std::filesystem::path> files;  // with the root in front
  std::filesystem::path copyright;           // empty: the package has none

  // The file whose path ends so; error not_found names package and file.
  Result<std::filesystem::path> file_ending(std::string_view ending) const;
};

// Reads dpkg's own records under root. Not installed: not_found with the hint "apt-get install
// NAME".
Result<DebianPackage> find_debian_package(std::string_view name,
                                          const std::filesystem::path& root = "/");

}  // namespace tera::data
