#include "app/teragpt/validate_report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/validation_targets.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;
using plan::RowPrediction;
using plan::RowStatus;
using plan::ValidationSummary;

std::string percent_or_dash(bool there, double value) {
  return there ? fmt::format("{:.1f}", 100 * value) : "-";
}

int num_with(const ValidationSummary& summary, RowStatus status) {
  return summary.num_with_status[static_cast<std::size_t>(status)];
}

void summary_lines(const std::vector<ValidationSummary>& all, std::string& text) {
  for (const ValidationSummary& s : all) {
    const bool timed = s.time.count > 0;
    const bool sized = s.memory.count > 0;
    const int not_compared = s.num_rows - s.time.count;
    text += fmt::format(
        "{:<18}{:>6}{:>7}{:>7}{:>7}{:>7}{:>9}{:>8}{:>8}{:>8}{:>7}{:>8}{:>8}{:>7}\n", s.name,
        s.num_rows, num_with(s, RowStatus::determined), num_with(s, RowStatus::inferred),
        num_with(s, RowStatus::interval), not_compared,
        percent_or_dash(timed, s.time.mean_absolute),
        percent_or_dash(timed, s.time.median_absolute), percent_or_dash(timed, s.time.bias),
        percent_or_dash(timed, s.time.in_range), s.memory.count,
        percent_or_dash(sized, s.memory.mean_absolute), percent_or_dash(sized, s.memory.bias),
        s.layouts.num_pairs > 0 ? fmt::format("{:.2f}", s.layouts.kendall_tau) : "-");
  }
}

std::string worst_rows(const std::vector<RowPrediction>& rows, int num_worst) {
  std::vector<const RowPrediction*> compared;
  for (const RowPrediction& row : rows)
    if (row.is_compared()) compared.push_back(&row);
  // By ratio: half is as far off as twice.
  const auto distance = [](const RowPrediction& row) {
    return std::abs(std::log(row.step_s / *row.measured_step_s));
  };
  std::stable_sort(compared.begin(), compared.end(),
                   [&](const auto* a, const auto* b) { return distance(*a) > distance(*b); });
  if (compared.size() > static_cast<std::size_t>(num_worst))
    compared.resize(static_cast<std::size_t>(num_worst));
  std::string text = fmt::format("{:<46}{:>12}{:>12}{:>9}  {}\n", "Rows furthest off", "measured",
                                 "predicted", "error %", "guessed");
  for (const RowPrediction* row : compared) {
    text += fmt::format("{:<46}{:>12}{:>12}{:>9}  {}\n", row->id,
                        format_seconds(*row->measured_step_s), format_seconds(row->step_s),
                        percent_or_dash(true, row->error), fmt::join(row->guessed, ", "));
  }
  return text + "\n";
}

// Why rows are not compared, most frequent first.
std::string reasons(const std::vector<RowPrediction>& rows) {
  std::map<std::string, int> counts;
  for (const RowPrediction& row : rows) {
    if (row.is_compared()) continue;
    ++counts[fmt::format("{}: {}", enum_name(row.status), row.reason)];
  }
  std::vector<std::pair<std::string, int>> all(counts.begin(), counts.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text = all.empty() ? "" : "\nNot compared\n";
  for (const auto& [reason, count] : all)
    text += fmt::format("{:>6}  {}\n", count, reason);
  return text;
}

std::string targets_text(const std::vector<RowPrediction>& rows) {
  std::string text = fmt::format("\n{:<52}{:>6}{:>9}{:>9}\n", "Figure", "rows", "now", "wanted");
  for (const plan::ValidationTarget& target : plan::validation_targets(rows)) {
    text += fmt::format("{:<52}{:>6}{:>9}{:>9}\n", target.name, target.num_rows,
                        target.num_rows > 0 ? fmt::format("{:.3g}", target.value) : "-",
                        fmt::format("{} {:.3g}", target.at_least ? ">=" : "<=", target.limit));
  }
  return text;
}

std::string schedule_order(const plan::ValidationReport& report) {
  std::string text;
  for (const ValidationSummary& s : report.groups) {
    if (s.schedules.num_sets == 0) continue;
    text += fmt::format("\nSchedules of {} in the right order: {} of {}\n", s.name,
                        s.schedules.num_right, s.schedules.num_sets);
  }
  return text;
}

ordered_json optional_json(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json row_json(const RowPrediction& row) {
  ordered_json json;
  json["id"] = row.id;
  json["group"] = row.group;
  json["line"] = row.line;
  json["status"] = enum_name(row.status);
  json["reason"] = row.reason;
  json["guessed"] = row.guessed;
  json["experts"] = row.has_experts;
  json["candidates"] = row.num_candidates;
  json["measured_step_s"] = optional_json(row.measured_step_s);
  json["measured_by"] = row.measured_by;
  const bool predicted = row.num_candidates > 0;
  const auto number = [](bool there, double value) {
    return there ? ordered_json(value) : ordered_json(nullptr);
  };
  json["step_s"] = number(predicted, row.step_s);
  json["low_s"] = number(predicted, row.low_s);
  json["high_s"] = number(predicted, row.high_s);
  json["error"] = number(row.is_compared(), row.error);
  json["measured_memory"] = optional_json(row.measured_memory_bytes);
  json["memory"] = number(predicted, row.memory_bytes);
  json["memory_error"] = number(row.measured_memory_bytes.has_value(), row.memory_error);
  return json;
}

ordered_json errors_json(const plan::ErrorSummary& errors) {
  return {{"rows", errors.count},
          {"mean_absolute_error", errors.mean_absolute},
          {"median_absolute_error", errors.median_absolute},
          {"bias", errors.bias}};
}

ordered_json summary_json(const ValidationSummary& s) {
  ordered_json json;
  json["rows"] = s.num_rows;
  ordered_json statuses;
  for (std::size_t i = 0; i < s.num_with_status.size(); ++i)
    statuses[std::string(enum_name(static_cast<RowStatus>(i)))] = s.num_with_status[i];
  json["status"] = std::move(statuses);
  json["time"] = errors_json(s.time);
  json["time"]["in_range"] = s.time.in_range;
  json["memory"] = errors_json(s.memory);
  json["layouts"] = {{"pairs", s.layouts.num_pairs}, {"kendall_tau", s.layouts.kendall_tau}};
  json["schedules"] = {{"sets", s.schedules.num_sets}, {"right", s.schedules.num_right}};
  return json;
}

}  // namespace

std::string validation_text(const std::vector<RowPrediction>& rows,
                            const plan::ValidationReport& report,
                            int num_worst) {
  std::string text = num_worst > 0 ? worst_rows(rows, num_worst) : "";
  text += fmt::format("{:<18}{:>6}{:>7}{:>7}{:>7}{:>7}{:>32}{:>23}\n", "", "", "one", "infer-",
                      "in-", "not", "step time, %", "memory, %");
  text += fmt::format("{:<18}{:>6}{:>7}{:>7}{:>7}{:>7}{:>9}{:>8}{:>8}{:>8}{:>7}{:>8}{:>8}{:>7}\n",
                      "group", "rows", "spec", "red", "terval", "comp.", "error", "median", "bias",
                      "range", "rows", "error", "bias", "tau");
  summary_lines(report.groups, text);
  text += "\n";
  summary_lines(report.classes, text);
  text += schedule_order(report);
  text += targets_text(rows);
  text += reasons(rows);
  return text;
}

ordered_json validation_json(const std::vector<RowPrediction>& rows,
                             const plan::ValidationReport& report) {
  ordered_json document;
  document["schema"] = "teragpt.validate/1";
  document["rows"] = ordered_json::array();
  for (const RowPrediction& row : rows)
    document["rows"].push_back(row_json(row));
  for (const ValidationSummary& summary : report.groups)
    document["summary"][summary.name] = summary_json(summary);
  for (const ValidationSummary& summary : report.classes)
    document["classes"][summary.name] = summary_json(summary);
  document["targets"] = ordered_json::array();
  for (const plan::ValidationTarget& target : plan::validation_targets(rows)) {
    document["targets"].push_back({{"name", target.name},
                                   {"rows", target.num_rows},
                                   {"value", target.value},
                                   {"limit", target.limit},
                                   {"at_least", target.at_least},
                                   {"met", target.is_met()}});
  }
  return document;
}

std::string calibration_text(const plan::Calibration& calibration,
                             const plan::PublishedPresets& presets) {
  std::string text = fmt::format("\n{:<34}{:>10}{:>12}{:>24}{:>10}\n",
                                 fmt::format("Fitted to {} rows", calibration.num_rows), "expected",
                                 "all groups", "without one of them", "in use");
  const plan::Values in_use = plan::values_in_use(presets);
  for (std::size_t i = 0; i < calibration.values.size(); ++i) {
    double low = calibration.values[i];
    double high = low;
    for (const auto& [group, values] : calibration.without) {
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
    }
    const plan::FittedValue& value = plan::fitted_values()[i];
    text +=
        fmt::format("{:<34}{:>10.3g}{:>12.3g}{:>24}{:>10.3g}\n", value.name, value.expected,
                    calibration.values[i], fmt::format("{:.3g} to {:.3g}", low, high), in_use[i]);
  }
  text +=
      "Errors above are of groups that had no part in the values that predict them: each group is\n"
      "left out, and all values are fitted to the others, starting from what is expected.\n";
  return text;
}

ordered_json calibration_json(const plan::Calibration& calibration,
                              const plan::PublishedPresets& presets) {
  const auto named = [](const plan::Values& values) {
    ordered_json json;
    for (std::size_t i = 0; i < values.size(); ++i)
      json[std::string(plan::fitted_values()[i].name)] = values[i];
    return json;
  };
  ordered_json json = {{"rows", calibration.num_rows},
                       {"expected", named(plan::expected_values())},
                       {"in_use", named(plan::values_in_use(presets))},
                       {"values", named(calibration.values)}};
  for (const auto& [group, values] : calibration.without)
    json["without"][group] = named(values);
  return json;
}

}  // namespace tera::app
