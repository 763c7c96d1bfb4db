// Predictions held against published measurements, row by row.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "core/plan/published_spec.h"
#include "core/plan/published_table.h"

namespace tera::plan {

enum class RowStatus : std::uint8_t {
  determined,    // every cell the planner needs was read
  inferred,      // one spec, but some cell was concluded from other facts
  interval,      // several specs: the prediction is an interval
  undetermined,  // too much is unknown for any spec
  not_modelled,  // no spec can say what the row says
  refused,       // the planner refuses the spec
  unmeasured,    // neither step time nor a figure it follows from
};

struct RowPrediction {
  std::string id, group;
  int line = 0;
  RowStatus status = RowStatus::undetermined;
  std::string reason;                // of the last four
  std::vector<std::string> guessed;  // columns
  bool has_experts = false;
  int num_candidates = 0;
  int num_nodes = 0;
  // Rows with the same workload differ in layout; those with the same layout too, in schedule.
  std::string workload, layout, schedule;

  std::optional<double> measured_step_s;
  std::string measured_by;  // column that the step time is from
  double step_s = 0;        // of the fastest candidate: runs that are published are tuned; of a
                            // mixture the middle between fastest and slowest, by ratio
  double low_s = 0;         // likely range over all candidates
  double high_s = 0;
  double error = 0;  // step_s / measured - 1

  std::optional<double> measured_memory_bytes;
  double memory_bytes = 0;  // of the same candidates
  double memory_error = 0;

  // Step time and its error hold.
  bool is_compared() const { return status <= RowStatus::interval && measured_step_s.has_value(); }
};

// Never fails: what keeps a row from being compared is its status and reason. Of several candidates
// those that the planner finds to fit into memory count, if there are any: the run took place.
RowPrediction predict_row(const PublishedRow& row, const PublishedPresets& presets);

// What there is to predict of a row that is compared: nothing of another.
struct ComparedSpecs {
  std::vector<spec::RunSpec> candidates;  // those that count
  bool is_mixture = false;
  double measured_step_s = 0;
};
std::optional<ComparedSpecs> compared_specs(const PublishedRow& row,
                                            const PublishedPresets& presets);

// Seconds of a step from what was measured: step time, tokens per second, or flops by the group's
// convention. Empty with the reason if nothing leads to it.
struct MeasuredStep {
  std::optional<double> seconds;
  std::string column;
  std::string reason;
};
MeasuredStep measured_step(const PublishedRow& row, const spec::RunSpec& spec);

}  // namespace tera::plan

namespace tera {
template <>
struct EnumNames<plan::RowStatus> {
  static constexpr std::array<std::string_view, 7> value = {
      "determined",   "inferred", "interval",  "undetermined",
      "not modelled", "refused",  "unmeasured"};
};
}  // namespace tera
