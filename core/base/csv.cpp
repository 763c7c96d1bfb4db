#include "core/base/csv.h"

#include <utility>

#include <fmt/format.h>

namespace tera {
namespace {

template <class T>
using CsvResult = tl::expected<T, Diagnostic>;
using Problem = tl::unexpected<Diagnostic>;

// Reads one character after the other and knows where it stands.
class CsvReader {
 public:
  explicit CsvReader(std::string_view text) : text_(text) {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) at_ = kByteOrderMark.size();
  }

  bool done() const { return at_ >= text_.size(); }

  // A cell, and the comma or line end behind it; `last` says whether the record ends with it.
  CsvResult<CsvCell> cell(bool& last) {
    CsvCell cell{.text = {}, .line = line_, .column = column_};
    const bool has_quotes = !done() && text_[at_] == '"';
    const CsvResult<void> read = has_quotes ? quoted(cell) : plain(cell);
    if (!read) return Problem(read.error());
    last = done() || text_[at_] != ',';
    if (done()) return cell;
    if (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n') step();
    const char end = text_[at_];
    if (end != ',' && end != '\n') {
      return wrong(fmt::format("got '{}' behind a closing quote, expected a comma or a new line",
                               end < ' ' ? '?' : end),
                   "double the quotes within a quoted cell");
    }
    step();
    return cell;
  }

 private:
  CsvResult<void> plain(CsvCell& cell) {
    for (; !done(); step()) {
      const char c = text_[at_];
      if (c == ',' || c == '\n') break;
      if (c == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n')) break;
      if (c == '"') {
        return wrong("got a quote within a cell that does not begin with one",
                     "put the whole cell into quotes and double those within");
      }
      if (c == '\0') return wrong("got a zero byte, expected text", "is this a CSV file?");
      cell.text += c;
    }
    if (!done() && text_[at_] == '\r' && at_ + 1 == text_.size()) step();
    return {};
  }

  CsvResult<void> quoted(CsvCell& cell) {
    step();
    for (; !done(); step()) {
      const char c = text_[at_];
      if (c == '\0') return wrong("got a zero byte, expected text", "is this a CSV file?");
      if (c != '"') {
        cell.text += c;
        continue;
      }
      step();
      if (done() || text_[at_] != '"') return {};
      cell.text += '"';
    }
    return problem(cell.line, cell.column, "the quote that begins this cell is never closed",
                   "close it, or remove it");
  }

  static Problem problem(int line, int column, std::string message, std::string hint) {
    return Problem(Diagnostic{.severity = Severity::error,
                              .field = {},
                              .message = std::move(message),
                              .hint = std::move(hint),
                              .line = line,
                              .column = column});
  }
  Problem wrong(std::string message, std::string hint) const {
    return problem(line_, column_, std::move(message), std::move(hint));
  }

  void step() {
    ++column_;
    if (text_[at_] == '\n') {
      ++line_;
      column_ = 1;
    }
    ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  int column_ = 1;
};

}  // namespace

tl::expected<std::vector<CsvRecord>, Diagnostic> parse_csv(std::string_view text) {
  std::vector<CsvRecord> records;
  CsvReader reader(text);
  while (!reader.done()) {
    CsvRecord record;
    for (bool last = false; !last;) {
      CsvResult<CsvCell> cell = reader.cell(last);
      if (!cell) return Problem(std::move(cell).error());
      record.push_back(*std::move(cell));
    }
    const bool nothing = record.size() == 1 && record.front().text.empty();
    if (!nothing) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace tera
