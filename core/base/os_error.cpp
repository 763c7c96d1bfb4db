#include "core/base/os_error.h"

#include <cerrno>
#include <string>
#include <system_error>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <fmt/format.h>

#include "core/base/units.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

fs::path folder_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

std::string words_for(const fs::path& folder) {
  return folder == "." ? "this folder" : folder.string();
}

// Names the first part of the path that is missing.
std::string missing_hint(std::string_view operation, const fs::path& path) {
  std::error_code ignored;
  fs::path missing = path;
  while (missing.has_relative_path() && !fs::exists(folder_of(missing), ignored))
    missing = folder_of(missing);
  if (missing != path)
    return fmt::format("there is no folder {}: create it, or correct the path", missing.string());
  if (operation.starts_with("create"))
    return fmt::format("{} takes no new files: choose another", words_for(folder_of(path)));
  return fmt::format("{} holds no {}: check the name", words_for(folder_of(path)),
                     path.filename().string());
}

// Names the part of the path that is a file where a folder is needed.
std::string not_a_folder_hint(const fs::path& path) {
  std::error_code ignored;
  fs::path part = path;
  while (part.has_parent_path() && part != part.parent_path() && !fs::exists(part, ignored))
    part = part.parent_path();
  return fmt::format("{} is a file, not a folder: correct the path", part.string());
}

std::string hint_for(std::string_view operation, const fs::path& path, int error_number) {
  switch (error_number) {
    case ENOENT:
      return missing_hint(operation, path);
    case ENOTDIR:
      return not_a_folder_hint(path);
    case EISDIR:
      return "name a file in it";
    case EEXIST:
    case ENOTEMPTY:
      return "choose another name, or move away what is there";
    case ENAMETOOLONG:
      return "shorten the name";
    case ELOOP:
      return "a symbolic link on the way leads back to itself: correct the path";
    case ENOSPC:
      return "free space on this file system, or choose another folder";
    case EDQUOT:
      return "the quota of this user is used up: free space or ask for more";
    case EFBIG:
      return "files may not be larger here: raise `ulimit -f`, or choose another file system";
    case EACCES:
    case EPERM:
      return "check owner and permissions of the file and its folder";
    case EROFS:
      return "the file system is read-only: choose another folder";
    case EIO:
    case ESTALE:
      return "the storage failed: check the disk or the mount (dmesg)";
    case EMFILE:
    case ENFILE:
      return "too many open files: raise `ulimit -n`";
    default:
      return {};
  }
}

// Paths that a person wrote wrong are bad input; what the machine refuses is not.
ErrorCode code_for(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return ErrorCode::not_found;
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
      return ErrorCode::invalid_input;
    default:
      return ErrorCode::io;
  }
}

std::string free_space_of(const fs::path& folder) {
  struct statvfs status = {};
  if (::statvfs(folder.c_str(), &status) != 0) return "unknown";
  return format_bytes(static_cast<double>(status.f_bavail) * static_cast<double>(status.f_frsize));
}

}  // namespace

Error os_error(std::string_view operation,
               const fs::path& path,
               int error_number,
               std::uint64_t needed_bytes) {
  std::string message = fmt::format("cannot {} {}: {}", operation, path.string(),
                                    std::generic_category().message(error_number));
  if (error_number == ENOSPC && needed_bytes > 0) {
    message += fmt::format(" (needs {}, {} free)", format_bytes(static_cast<double>(needed_bytes)),
                           free_space_of(folder_of(path)));
  }
  return {code_for(error_number), std::move(message), hint_for(operation, path, error_number)};
}

Result<void> check_regular_file(const fs::path& path, mode_t mode) {
  if (S_ISREG(mode)) return {};
  if (S_ISDIR(mode)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: got a folder, expected a file", path.string()),
                "name a file in it");
  }
  const bool pipe = S_ISFIFO(mode) || S_ISSOCK(mode);
  return fail(ErrorCode::invalid_input,
              fmt::format("{}: got a {}, expected a file", path.string(),
                          pipe ? "pipe or socket" : "device"),
              "save what it gives to a file first");
}

}  // namespace tera
