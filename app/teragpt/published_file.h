// Tables of published measurements, as verbs load them.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "app/teragpt/cli.h"
#include "core/plan/published_table.h"

namespace tera::app {

// Rows of a table, or nothing after saying what is wrong with it.
std::optional<std::vector<plan::PublishedRow>> read_published_rows(Cli& cli,
                                                                   const std::string& file);

}  // namespace tera::app
