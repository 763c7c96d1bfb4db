#include "core/data/debian_package.h"

#include <fmt/format.h>

#include "core/base/vfs.h"
#include "core/data/line_reader.h"

namespace tera::data {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> not_installed(std::string_view name) {
  return fail(ErrorCode::not_found, fmt::format("package {} is not installed", name),
              fmt::format("apt-get install {}", name));
}

bool is_package_name(std::string_view name) {
  return name.size() >= 2 && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") ==
                                 std::string_view::npos;
}

// The version in dpkg's status file of a package that is installed; empty if it is not.
Result<std::string> installed_version(std::string_view name, const fs::path& root) {
  Result<LineReader> status = LineReader::open(root / "var/lib/dpkg/status");
  if (!status) {
    return fail(ErrorCode::not_found,
                "no package records (/var/lib/dpkg/status): this is not a Debian system",
                "give the text as .txt or .jsonl files");
  }
  const std::string wanted = fmt::format("Package: {}", name);
  bool in_package = false;
  bool installed = false;
  for (std::string_view line;;) {
    TERA_TRY(const bool more, status->next(line));
    if (!more) return std::string();
    if (line.empty()) in_package = false;
    if (line == wanted) {
      in_package = true;
      installed = false;
    }
    if (!in_package) continue;
    if (line.starts_with("Status:")) installed = line.ends_with(" installed");
    constexpr std::string_view kVersion = "Version: ";
    if (installed && line.starts_with(kVersion)) return std::string(line.substr(kVersion.size()));
  }
}

}  // namespace

Result<fs::path> DebianPackage::file_ending(std::string_view ending) const {
  for (const fs::path& file : files) {
    if (file.string().ends_with(ending)) return file;
  }
  return fail(ErrorCode::not_found,
              fmt::format("package {} {} has no file ...{}", name, version, ending),
              fmt::format("apt-get install --reinstall {}", name));
}

Result<DebianPackage> find_debian_package(std::string_view name, const fs::path& root) {
  if (!is_package_name(name)) {
    return fail(ErrorCode::invalid_input, fmt::format("\"{}\" is not the name of a package", name));
  }
  DebianPackage package{.name = std::string(name), .version = {}, .files = {}, .copyright = {}};
  TERA_TRY(package.version, installed_version(name, root));
  if (package.version.empty()) return not_installed(name);
  const fs::path info = root / "var/lib/dpkg/info";
  fs::path list = info / fmt::format("{}.list", name);
  std::error_code ignored;
  if (!fs::exists(list, ignored)) {  // packages that may be installed for several architectures
    for (const auto& entry : fs::directory_iterator(info, ignored)) {
      const std::string file = entry.path().filename().string();
      if (file.starts_with(fmt::format("{}:", name)) && file.ends_with(".list"))
        list = entry.path();
    }
  }
  Result<LineReader> lines = LineReader::open(list);
  if (!lines) return not_installed(name);
  for (std::string_view line;;) {
    TERA_TRY(const bool more, lines->next(line));
    if (!more) break;
    const fs::path path = root / fs::path(line).relative_path();
    if (!fs::is_regular_file(path, ignored)) continue;
    package.files.push_back(path);
    if (path.filename() == "copyright") package.copyright = path;
  }
  return package;
}

}  // namespace tera::data
