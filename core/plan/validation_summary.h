// How well predictions hold, over many rows.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/plan/validation.h"

namespace tera::plan {

// Of relative errors, prediction / measurement - 1. Everything is 0 for no rows.
struct ErrorSummary {
  int count = 0;
  double mean_absolute = 0;
  double median_absolute = 0;
  double bias = 0;      // mean
  double in_range = 0;  // share of rows measured within the likely range
};

// Pairs of rows with the same workload whose layouts are ordered as measured.
struct OrderSummary {
  int num_pairs = 0;
  double kendall_tau = 0;  // (right - wrong) / pairs; a tie in the prediction is neither
};

// Sets of rows that differ in the schedule only, and those whose whole order is right.
struct ScheduleOrder {
  int num_sets = 0;
  int num_right = 0;
};

struct ValidationSummary {
  std::string name;  // of the group, or of the class of rows
  int num_rows = 0;
  std::array<int, 7> num_with_status{};  // by RowStatus
  ErrorSummary time;
  ErrorSummary memory;  // in_range is 0: there is no likely range of memory
  OrderSummary layouts;
  ScheduleOrder schedules;
};

// Groups in the order of the rows, then "dense, determined", "dense, inferred", "dense, interval",
// "experts" and "all".
struct ValidationReport {
  std::vector<ValidationSummary> groups;
  std::vector<ValidationSummary> classes;
};
ValidationReport summarize(const std::vector<RowPrediction>& rows);
ValidationSummary summarize_rows(std::string name, const std::vector<const RowPrediction*>& rows);

}  // namespace tera::plan
