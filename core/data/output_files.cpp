#include "core/data/output_files.h"

#include <fmt/format.h>

#include "core/data/manifest.h"

namespace tera::data {

Result<void> check_output_files(Vfs& vfs,
                                const std::filesystem::path& prefix,
                                std::span<const std::string_view> suffixes,
                                bool overwrite) {
  if (!prefix.has_filename()) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("--output: got \"{}\", expected the prefix of file names", prefix.string()),
        fmt::format("for example {} for {}", (prefix / "corpus").string(),
                    with_suffix(prefix / "corpus", suffixes.front()).string()));
  }
  for (const std::string_view suffix : suffixes) {
    const std::filesystem::path path = with_suffix(prefix, suffix);
    TERA_TRY(const bool there, vfs.exists(path));
    if (there && !overwrite) {
      return fail(ErrorCode::invalid_input, fmt::format("{} exists", path.string()),
                  "choose another name, or overwrite it with --force");
    }
    TERA_TRY_VOID(check_can_write(vfs, path));
  }
  return {};
}

}  // namespace tera::data
