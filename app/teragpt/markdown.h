// Tables of the guide.
#pragma once
#include <string>
#include <vector>

namespace tera::app {

struct MarkdownRow {
  std::vector<std::string> cells;
};
// The first row is the head.
std::string markdown_table(const std::vector<MarkdownRow>& rows);

}  // namespace tera::app
