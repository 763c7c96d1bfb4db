#include "app/teragpt/markdown.h"

#include <fmt/format.h>

namespace tera::app {

std::string markdown_table(const std::vector<MarkdownRow>& rows) {
  std::string text;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += fmt::format("| {} |\n", fmt::join(rows[i].cells, " | "));
    if (i > 0) continue;
    for (std::size_t j = 0; j < rows[i].cells.size(); ++j)
      text += j == 0 ? "|---|" : "---|";
    text += "\n";
  }
  return text;
}

}  // namespace tera::app
