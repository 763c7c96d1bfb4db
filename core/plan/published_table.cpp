#include "core/plan/published_table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/counted.h"
#include "core/base/csv.h"
#include "core/plan/published_columns.h"
#include "core/plan/published_words.h"
#include "core/spec/suggest.h"

namespace tera::plan {
namespace {

constexpr std::size_t kShown = 60;  // of a cell, in messages

class TableReader {
 public:
  PublishedTable read(std::string_view text);

 private:
  void header(const CsvRecord& record);
  void row(const CsvRecord& record);
  void check_words(const PublishedRow& row);
  void check_sizes(const PublishedRow& row);
  void must_divide(std::string_view column,
                   const std::optional<int>& size,
                   const char* whole_name,
                   std::int64_t whole,
                   const PublishedRow& row);
  // A problem at a column of the row being read.
  void wrong(std::string_view column, std::string message, std::string hint);

  PublishedTable table_;
  std::vector<const PublishedColumn*> order_;  // of the columns in the file
  std::map<std::string_view, CsvCell> at_;     // cells of the row being read
  std::map<std::string, int> ids_;             // line of each
};

void TableReader::wrong(std::string_view column, std::string message, std::string hint) {
  const CsvCell& cell = at_[column];
  table_.diagnostics.push_back({.severity = Severity::error,
                                .field = std::string(column),
                                .message = std::move(message),
                                .hint = std::move(hint),
                                .line = cell.line,
                                .column = cell.column});
}

void TableReader::header(const CsvRecord& record) {
  const std::vector<std::string_view> names = published_column_names();
  for (const CsvCell& cell : record) {
    const auto found = std::find_if(published_columns().begin(), published_columns().end(),
                                    [&](const PublishedColumn& c) { return c.name == cell.text; });
    if (found == published_columns().end()) {
      const auto nearest = spec::nearest_word(cell.text, names);
      table_.diagnostics.push_back(
          {.severity = Severity::error,
           .field = "header",
           .message = fmt::format("no column is called '{}'", cell.text.substr(0, kShown)),
           .hint = nearest ? fmt::format("did you mean {}?", *nearest)
                           : "columns are those of resources/validation/published.csv",
           .line = cell.line,
           .column = cell.column});
      continue;
    }
    if (std::find(order_.begin(), order_.end(), &*found) != order_.end()) {
      table_.diagnostics.push_back({.severity = Severity::error,
                                    .field = "header",
                                    .message = fmt::format("column {} is there twice", cell.text),
                                    .hint = "remove one",
                                    .line = cell.line,
                                    .column = cell.column});
    }
    order_.push_back(&*found);
  }
  std::vector<std::string_view> missing;
  for (const PublishedColumn& column : published_columns())
    if (std::find(order_.begin(), order_.end(), &column) == order_.end())
      missing.push_back(column.name);
  if (missing.empty()) return;
  table_.diagnostics.push_back(
      {.severity = Severity::error,
       .field = "header",
       .message = fmt::format("missing: {}", fmt::join(missing, ", ")),
       .hint = "a table has all these columns; cells may be empty where a value is unknown",
       .line = record.front().line,
       .column = 1});
}

void TableReader::check_words(const PublishedRow& row) {
  for (const PublishedColumn* column : order_) {
    const auto* text = std::get_if<std::string PublishedRow::*>(&column->member);
    const std::vector<std::string_view> words = published_words(column->name);
    if (text == nullptr || words.empty() || (row.*(*text)).empty()) continue;
    const std::string& word = row.*(*text);
    if (std::find(words.begin(), words.end(), word) != words.end()) continue;
    const bool number = !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
    if (column->name == "head_dim" && number) continue;
    const auto nearest = spec::nearest_word(word, words);
    wrong(column->name, fmt::format("got '{}', which has no meaning here", word.substr(0, kShown)),
          nearest ? fmt::format("did you mean '{}'?", *nearest) : "words: " + spec::one_of(words));
  }
}

void TableReader::must_divide(std::string_view column,
                              const std::optional<int>& size,
                              const char* whole_name,
                              std::int64_t whole,
                              const PublishedRow& row) {
  if (!size || whole % *size == 0) return;
  wrong(column, fmt::format("row {}: {} does not divide {} = {}", row.id, *size, whole_name, whole),
        "correct the row, or say 'do not use' in its notes");
}

void TableReader::check_sizes(const PublishedRow& row) {
  const std::optional<int> sizes[] = {row.tensor, row.pipeline, row.context, row.data};
  const bool all = std::all_of(std::begin(sizes), std::end(sizes),
                               [](const auto& size) { return size.has_value(); });
  if (row.num_gpus) {
    double product = 1;
    std::string factors;
    for (const auto& size : sizes) {
      product *= size.value_or(1);
      factors += fmt::format("{}{}", factors.empty() ? "" : " x ",
                             size ? std::to_string(*size) : std::string("?"));
    }
    if (all ? product != *row.num_gpus : std::fmod(*row.num_gpus, product) != 0) {
      wrong("num_gpus",
            fmt::format("row {}: {}, but TP x PP x CP x DP = {}{}", row.id, *row.num_gpus, factors,
                        all ? fmt::format(" = {:.15g}", product) : ""),
            "correct the row, or say 'do not use' in its notes");
    }
  }
  if (row.heads) must_divide("TP", row.tensor, "heads", *row.heads, row);
  if (row.heads) must_divide("kv_heads", row.kv_heads, "heads", *row.heads, row);
  if (row.experts) must_divide("EP", row.expert, "experts", *row.experts, row);
  if (row.experts && row.topk && *row.topk > *row.experts) {
    wrong("topk", fmt::format("row {}: {} of {} experts", row.id, *row.topk, *row.experts),
          "correct the row");
  }
  if (row.global_batch && row.micro_batch && row.data) {
    const std::int64_t pass = std::int64_t{*row.micro_batch} * *row.data;
    if (*row.global_batch % pass != 0) {
      wrong("global_batch",
            fmt::format("row {}: {} is not a multiple of micro_batch x DP = {} x {}", row.id,
                        *row.global_batch, *row.micro_batch, *row.data),
            "correct the row, or say 'do not use' in its notes");
    }
  }
}

void TableReader::row(const CsvRecord& record) {
  at_.clear();
  for (std::size_t i = 0; i < record.size() && i < order_.size(); ++i)
    at_[order_[i]->name] = record[i];
  PublishedRow row;
  row.line = record.front().line;
  if (record.size() != order_.size()) {
    const CsvCell& first = record.front();
    table_.diagnostics.push_back(
        {.severity = Severity::error,
         .field = "row",
         .message = fmt::format("got {}, expected {} as in the header",
                                counted(std::ssize(record), "cell"), order_.size()),
         .hint = "put a cell that holds a comma into quotes",
         .line = first.line,
         .column = record.size() > order_.size() ? record[order_.size()].column : first.column});
    return;
  }
  const std::size_t before = table_.diagnostics.size();
  for (std::size_t i = 0; i < record.size(); ++i) {
    if (const auto expected = set_cell(*order_[i], record[i].text, row)) {
      wrong(order_[i]->name,
            fmt::format("got '{}', {}", record[i].text.substr(0, kShown), *expected),
            "leave the cell empty where the value is unknown");
    }
  }
  if (row.id.empty()) {
    wrong("id", "empty, expected a name for the row", "for example SC21-T1-1");
  } else if (const auto [other, is_new] = ids_.emplace(row.id, row.line); !is_new) {
    wrong("id",
          fmt::format("'{}' names the row in line {} too", row.id.substr(0, kShown), other->second),
          "give each row a name of its own");
  }
  check_words(row);
  if (table_.diagnostics.size() == before && !row.is_withdrawn()) check_sizes(row);
  table_.rows.push_back(std::move(row));
}

PublishedTable TableReader::read(std::string_view text) {
  const auto records = parse_csv(text);
  if (!records) {
    table_.diagnostics = {records.error()};
    return std::move(table_);
  }
  if (records->empty()) {
    table_.diagnostics.push_back(
        {.severity = Severity::error,
         .field = "table",
         .message = "got nothing, expected a header and rows",
         .hint = "columns are those of resources/validation/published.csv"});
    return std::move(table_);
  }
  header(records->front());
  if (!table_.diagnostics.empty()) return std::move(table_);
  constexpr std::size_t kMostProblems = 30;
  for (std::size_t i = 1; i < records->size() && table_.diagnostics.size() < kMostProblems; ++i)
    row((*records)[i]);
  if (records->size() == 1) {
    table_.diagnostics.push_back({.severity = Severity::error,
                                  .field = "table",
                                  .message = "got a header without rows",
                                  .hint = "add a row for each measurement"});
  }
  return std::move(table_);
}

}  // namespace

bool PublishedRow::infers(std::string_view column) const {
  const std::string all = ";" + inferred_fields + ";";
  return all.find(fmt::format(";{};", column)) != std::string::npos;
}

PublishedTable read_published_table(std::string_view text) {
  return TableReader().read(text);
}

}  // namespace tera::plan
