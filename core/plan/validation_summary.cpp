#include "core/plan/validation_summary.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "core/base/median.h"

namespace tera::plan {
namespace {

using Rows = std::vector<const RowPrediction*>;

ErrorSummary summarize_errors(std::vector<double> errors, int in_range) {
  ErrorSummary summary;
  summary.count = static_cast<int>(errors.size());
  if (errors.empty()) return summary;
  const auto count = static_cast<double>(errors.size());
  for (double& error : errors) {
    summary.bias += error / count;
    error = std::abs(error);
    summary.mean_absolute += error / count;
  }
  summary.median_absolute = median(errors);
  summary.in_range = in_range / count;
  return summary;
}

// Sign of the order of two rows: measured and predicted.
int measured_sign(const RowPrediction& a, const RowPrediction& b) {
  return (*a.measured_step_s > *b.measured_step_s) - (*a.measured_step_s < *b.measured_step_s);
}
int predicted_sign(const RowPrediction& a, const RowPrediction& b) {
  return (a.step_s > b.step_s) - (a.step_s < b.step_s);
}

// Compared rows with the same key.
std::vector<Rows> sets_by(const Rows& rows,
                          const std::function<std::string(const RowPrediction&)>& key) {
  std::map<std::string, Rows> sets;
  for (const RowPrediction* row : rows)
    if (row->is_compared()) sets[key(*row)].push_back(row);
  std::vector<Rows> all;
  for (auto& [name, set] : sets)
    all.push_back(std::move(set));
  return all;
}

OrderSummary order_of_layouts(const Rows& rows) {
  OrderSummary order;
  int sum = 0;
  for (const Rows& set : sets_by(rows, [](const RowPrediction& row) { return row.workload; })) {
    for (std::size_t i = 0; i < set.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (set[i]->layout == set[j]->layout || measured_sign(*set[i], *set[j]) == 0) continue;
        ++order.num_pairs;
        sum += measured_sign(*set[i], *set[j]) * predicted_sign(*set[i], *set[j]);
      }
    }
  }
  if (order.num_pairs > 0) order.kendall_tau = double{1} * sum / order.num_pairs;
  return order;
}

ScheduleOrder order_of_schedules(const Rows& rows) {
  ScheduleOrder order;
  const auto key = [](const RowPrediction& row) { return row.workload + " " + row.layout; };
  for (const Rows& set : sets_by(rows, key)) {
    bool differ = false;
    bool right = true;
    for (std::size_t i = 0; i < set.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (set[i]->schedule == set[j]->schedule) continue;
        const int measured = measured_sign(*set[i], *set[j]);
        if (measured == 0) continue;
        differ = true;
        right = right && measured == predicted_sign(*set[i], *set[j]);
      }
    }
    order.num_sets += differ ? 1 : 0;
    order.num_right += differ && right ? 1 : 0;
  }
  return order;
}

}  // namespace

ValidationSummary summarize_rows(std::string name, const Rows& rows) {
  ValidationSummary summary;
  summary.name = std::move(name);
  summary.num_rows = static_cast<int>(rows.size());
  std::vector<double> time;
  std::vector<double> memory;
  int in_range = 0;
  for (const RowPrediction* row : rows) {
    ++summary.num_with_status[static_cast<std::size_t>(row->status)];
    if (row->measured_memory_bytes) memory.push_back(row->memory_error);
    if (!row->is_compared()) continue;
    time.push_back(row->error);
    in_range += row->low_s <= *row->measured_step_s && *row->measured_step_s <= row->high_s ? 1 : 0;
  }
  summary.time = summarize_errors(std::move(time), in_range);
  summary.memory = summarize_errors(std::move(memory), 0);
  summary.layouts = order_of_layouts(rows);
  summary.schedules = order_of_schedules(rows);
  return summary;
}

ValidationReport summarize(const std::vector<RowPrediction>& rows) {
  ValidationReport report;
  const auto select = [&rows](const std::function<bool(const RowPrediction&)>& wanted) {
    Rows selected;
    for (const RowPrediction& row : rows)
      if (wanted(row)) selected.push_back(&row);
    return selected;
  };
  std::vector<std::string> groups;
  for (const RowPrediction& row : rows)
    if (std::find(groups.begin(), groups.end(), row.group) == groups.end())
      groups.push_back(row.group);
  for (const std::string& group : groups) {
    report.groups.push_back(summarize_rows(
        group, select([&group](const RowPrediction& row) { return row.group == group; })));
  }
  for (const RowStatus status : {RowStatus::determined, RowStatus::inferred, RowStatus::interval}) {
    report.classes.push_back(summarize_rows("dense, " + std::string(enum_name(status)),
                                            select([status](const RowPrediction& row) {
                                              return !row.has_experts && row.status == status;
                                            })));
  }
  report.classes.push_back(
      summarize_rows("experts", select([](const RowPrediction& row) { return row.has_experts; })));
  report.classes.push_back(
      summarize_rows("all", select([](const RowPrediction&) { return true; })));
  return report;
}

}  // namespace tera::plan
