// validation_page.h: the tables.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "app/teragpt/markdown.h"
#include "app/teragpt/validation_page.h"

namespace tera::app {
namespace {

using plan::ErrorSummary;
using plan::RowPrediction;
using plan::RowStatus;
using plan::ValidationSummary;

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}
std::string signed_percent(double share) {
  return fmt::format("{:+.1f} %", 100 * share);
}

std::vector<std::string> time_cells(const ErrorSummary& time) {
  if (time.count == 0) return {"0", "", "", "", ""};
  return {std::to_string(time.count), percent(time.mean_absolute), percent(time.median_absolute),
          signed_percent(time.bias), fmt::format("{:.0f} %", 100 * time.in_range)};
}

// "dense, determined" as the page says it.
std::string kind_name(const std::string& name) {
  static const std::map<std::string, std::string> names = {
      {"dense, determined", "dense, every cell published"},
      {"dense, inferred", "dense, some cell concluded"},
      {"dense, interval", "dense, several layouts possible"},
      {"experts", "with experts"},
      {"all", "all"}};
  return names.at(name);
}

std::string by_kind(const plan::ValidationReport& report) {
  std::vector<MarkdownRow> rows = {
      {{"kind of rows", "compared", "mean error", "median", "bias", "within the likely range"}}};
  for (const ValidationSummary& s : report.classes) {
    rows.push_back({{kind_name(s.name)}});
    for (std::string& cell : time_cells(s.time))
      rows.back().cells.push_back(std::move(cell));
  }
  return markdown_table(rows);
}

std::string by_group(const plan::ValidationReport& report) {
  std::vector<MarkdownRow> rows = {
      {{"group", "rows", "compared", "mean error", "median", "bias", "within the likely range",
        "memory: rows", "mean error", "bias"}}};
  for (const ValidationSummary& s : report.groups) {
    if (s.time.count == 0 && s.memory.count == 0) continue;
    rows.push_back({{s.name, std::to_string(s.num_rows)}});
    for (std::string& cell : time_cells(s.time))
      rows.back().cells.push_back(std::move(cell));
    const bool sized = s.memory.count > 0;
    rows.back().cells.push_back(std::to_string(s.memory.count));
    rows.back().cells.push_back(sized ? percent(s.memory.mean_absolute) : "");
    rows.back().cells.push_back(sized ? signed_percent(s.memory.bias) : "");
  }
  return markdown_table(rows);
}

std::string orders(const plan::ValidationReport& report) {
  std::vector<MarkdownRow> rows = {{{"order", "", "as measured"}}};
  for (const ValidationSummary& s : report.groups) {
    constexpr int kFewPairs = 20;  // fewer say little
    if (s.layouts.num_pairs >= kFewPairs) {
      rows.push_back(
          {{fmt::format("layouts of {}", s.name), fmt::format("{} pairs", s.layouts.num_pairs),
            fmt::format("Kendall tau {:.2f}", s.layouts.kendall_tau)}});
    }
    if (s.schedules.num_sets > 1) {
      rows.push_back(
          {{fmt::format("schedules of {}", s.name), fmt::format("{} sets", s.schedules.num_sets),
            fmt::format("{} wholly", s.schedules.num_right)}});
    }
  }
  return markdown_table(rows);
}

// Why rows are not compared, most frequent first.
std::string left_out(const std::vector<RowPrediction>& predictions) {
  std::map<std::string, int> counts;
  for (const RowPrediction& row : predictions)
    if (!row.is_compared()) ++counts[fmt::format("{}: {}", enum_name(row.status), row.reason)];
  std::vector<std::pair<std::string, int>> all(counts.begin(), counts.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<MarkdownRow> rows = {{{"not compared", "rows"}}};
  for (const auto& [reason, count] : all)
    rows.push_back({{reason, std::to_string(count)}});
  return markdown_table(rows);
}

}  // namespace

std::string validation_tables(const std::vector<RowPrediction>& rows) {
  const plan::ValidationReport report = plan::summarize(rows);
  return fmt::format("{}\n{}\n{}\n{}", by_kind(report), by_group(report), orders(report),
                     left_out(rows));
}

}  // namespace tera::app
