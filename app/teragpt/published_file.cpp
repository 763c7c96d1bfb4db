#include "app/teragpt/published_file.h"

#include <utility>

#include "core/base/vfs.h"

namespace tera::app {

std::optional<std::vector<plan::PublishedRow>> read_published_rows(Cli& cli,
                                                                   const std::string& file) {
  constexpr std::uint64_t kMaxBytes = 64 << 20;
  const Result<std::string> text = read_text(posix_vfs(), file, kMaxBytes);
  if (!text) {
    cli.fail(text.error());
    return std::nullopt;
  }
  plan::PublishedTable table = plan::read_published_table(*text);
  if (!table.diagnostics.empty()) {
    cli.report(file, table.diagnostics);
    return std::nullopt;
  }
  return std::move(table.rows);
}

}  // namespace tera::app
