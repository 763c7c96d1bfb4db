// Comma-separated values with quotes, as in RFC 4180: cells know where they stand, for messages.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "core/base/error.h"

namespace tera {

struct CsvCell {
  std::string text;  // without its quotes
  int line = 1;      // where it begins, 1-based; column in bytes
  int column = 1;
};
using CsvRecord = std::vector<CsvCell>;

// Records in order; lines with nothing in them are left out, a byte order mark and CRLF are taken.
// Records may differ in length. Errors, with line and column: a quote that is not closed, text
// behind a closing quote, a quote within a cell that does not begin with one, a zero byte.
tl::expected<std::vector<CsvRecord>, Diagnostic> parse_csv(std::string_view text);

}  // namespace tera
