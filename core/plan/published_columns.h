// The columns of a table of published measurements, and what a cell of each may hold.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/plan/published_table.h"

namespace tera::plan {

using PublishedMember = std::variant<std::string PublishedRow::*,
                                     std::optional<int> PublishedRow::*,
                                     std::optional<double> PublishedRow::*>;
struct PublishedColumn {
  std::string_view name;
  PublishedMember member;
};

const std::vector<PublishedColumn>& published_columns();
std::vector<std::string_view> published_column_names();

// Sets the row's member from the text of a cell; empty numbers stay unknown. Otherwise returns what
// was expected: "expected a number above 0".
std::optional<std::string> set_cell(const PublishedColumn& column,
                                    const std::string& text,
                                    PublishedRow& row);

}  // namespace tera::plan
