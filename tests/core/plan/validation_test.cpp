#include "core/plan/validation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "core/plan/validation_summary.h"
#include "tests/core/plan/published_rows.h"

namespace tera::plan {
namespace {

using testing::HasSubstr;

RowPrediction predicted(const std::map<std::string, std::string>& changes) {
  return predict_row(row_with(changes), published_presets());
}

// A compared row: predicted / measured.
RowPrediction made_up(double step_s, double measured_s) {
  RowPrediction row;
  row.status = RowStatus::determined;
  row.step_s = step_s;
  row.low_s = 0.9 * step_s;
  row.high_s = 1.1 * step_s;
  row.measured_step_s = measured_s;
  row.error = step_s / measured_s - 1;
  return row;
}

ValidationSummary summary_of(const std::vector<RowPrediction>& rows) {
  std::vector<const RowPrediction*> all;
  for (const RowPrediction& row : rows)
    all.push_back(&row);
  return summarize_rows("made up", all);
}

TEST(Validation, ARowIsTheEstimateOfItsSpec) {
  const RowPrediction row = predicted({{"mem_per_gpu_gib", "2"}});
  const spec::RunSpec spec = published_specs(row_with({}), published_presets()).candidates.front();
  const auto expected = estimate(spec);
  ASSERT_TRUE(expected);
  EXPECT_EQ(row.status, RowStatus::determined);
  EXPECT_DOUBLE_EQ(row.step_s, expected->step_s);
  EXPECT_EQ(row.low_s, expected->low_s);
  EXPECT_EQ(row.high_s, expected->high_s);
  EXPECT_DOUBLE_EQ(row.error, expected->step_s / 0.5 - 1);
  // What the allocator of the framework holds: neither context nor communicators.
  const Term& worst = expected->stages[static_cast<std::size_t>(expected->worst_stage)].memory;
  const double reserved =
      worst.value - find_term(worst, "context")->value - find_term(worst, "communication")->value;
  EXPECT_DOUBLE_EQ(row.memory_error, reserved / (2.0 * (1 << 30)) - 1);
}

TEST(Validation, AnUnknownCellGivesAnIntervalAroundEachChoice) {
  const RowPrediction unknown = predicted({{"recompute", ""}});
  const RowPrediction none = predicted({{"recompute", "none"}});
  const RowPrediction full = predicted({{"recompute", "full"}});
  EXPECT_EQ(unknown.status, RowStatus::interval);
  EXPECT_EQ(unknown.num_candidates, 3);
  EXPECT_DOUBLE_EQ(unknown.low_s, none.low_s);
  EXPECT_DOUBLE_EQ(unknown.high_s, full.high_s);
  EXPECT_DOUBLE_EQ(unknown.step_s, none.step_s);
  const RowPrediction mixture = predicted({{"recompute", "selective (AC fraction)"}});
  EXPECT_DOUBLE_EQ(mixture.step_s, std::sqrt(none.step_s * full.step_s));
}

TEST(Validation, StatusSaysWhatARowIsWorth) {
  EXPECT_EQ(predicted({{"vocab", ""}}).status, RowStatus::inferred);
  EXPECT_EQ(predicted({{"pp_schedule", "v-half"}}).status, RowStatus::not_modelled);
  EXPECT_EQ(predicted({{"pp_schedule", "v-half"}}).reason, "schedule v-half");
  // A100 have no 8-bit products.
  EXPECT_EQ(predicted({{"precision", "fp8"}}).status, RowStatus::refused);
  EXPECT_EQ(predicted({{"seq_len", ""}}).reason, "unknown: seq_len");
  EXPECT_EQ(predicted({{"step_time_s", ""}}).status, RowStatus::unmeasured);
  const RowPrediction refused = predicted({{"layers", "1"}});
  EXPECT_EQ(refused.status, RowStatus::refused);
  EXPECT_THAT(refused.reason, HasSubstr("layout.pipeline_parallel_size: 2 is more than"));
}

// 4 layers of width 1024, s 1024, B 32 on 8 devices. Products: 12 L h^2 + V h = 50,331,648 +
// 52,428,800 parameters and small vectors; attention 12 L s h.
TEST(Validation, ThroughputsBecomeStepTimes) {
  const auto seconds = [](const char* group, const char* column, const char* value) {
    const PublishedRow row = row_with({{"step_time_s", ""}, {"group", group}, {column, value}});
    const spec::RunSpec spec = published_specs(row, published_presets()).candidates.front();
    return measured_step(row, spec);
  };
  const double tokens = 32 * 1024;
  const MeasuredStep by_tokens = seconds("MADE-UP", "tokens_per_s_per_gpu", "4096");
  EXPECT_DOUBLE_EQ(*by_tokens.seconds, tokens / (4096.0 * 8));
  EXPECT_EQ(by_tokens.column, "tokens_per_s_per_gpu");

  EXPECT_FALSE(seconds("MADE-UP", "tflops_per_gpu", "100").seconds.has_value());
  EXPECT_EQ(seconds("MADE-UP", "tflops_per_gpu", "100").reason,
            "how its group counts flops is not known");
  const double layers = 12.0 * 4 * 1024 * 1024;
  const double head = 51200.0 * 1024;
  const double attention = 12.0 * 4 * 1024 * 1024;  // not halved
  const double per_flop = tokens / 8 / 100e12;
  const double small = 2e-3;  // biases and norms: 13 / (12 h) of the layers
  const double causal = 6 * (layers + head) + attention / 2;
  EXPECT_NEAR(*seconds("MBRIDGE", "tflops_per_gpu", "100").seconds / (causal * per_flop), 1, small);
  const double full = 6 * (layers + head) + attention;
  EXPECT_NEAR(*seconds("NEMO", "tflops_per_gpu", "100").seconds / (full * per_flop), 1, small);
  // Narayanan et al. 2021, eq. 3: 96 B s L h^2 (1 + s / 6h + V / 16 L h), over B s tokens.
  const double hardware =
      96.0 * 4 * 1024 * 1024 * (1 + 1024 / (6.0 * 1024) + 51200 / (16.0 * 4 * 1024));
  EXPECT_NEAR(*seconds("SC21", "tflops_per_gpu", "100").seconds / (hardware * per_flop), 1, small);
  EXPECT_NEAR(*seconds("NANO", "mfu_pct", "50").seconds / (full * tokens / 8 / 156e12), 1, small);
}

TEST(ValidationSummary, ErrorsAreThoseWorkedOutByHand) {
  std::vector<RowPrediction> rows = {made_up(1.1, 1), made_up(0.7, 1), made_up(2, 2)};
  rows.push_back(made_up(9, 1));
  rows.back().status = RowStatus::unmeasured;  // does not count
  rows[0].measured_memory_bytes = 100;
  rows[0].memory_error = -0.2;
  const ValidationSummary s = summary_of(rows);
  EXPECT_EQ(s.num_rows, 4);
  EXPECT_EQ(s.num_with_status[static_cast<std::size_t>(RowStatus::determined)], 3);
  EXPECT_EQ(s.time.count, 3);
  EXPECT_NEAR(s.time.mean_absolute, (0.1 + 0.3 + 0) / 3, 1e-12);
  EXPECT_NEAR(s.time.median_absolute, 0.1, 1e-12);
  EXPECT_NEAR(s.time.bias, (0.1 - 0.3 + 0) / 3, 1e-12);
  EXPECT_NEAR(s.time.in_range, 2.0 / 3, 1e-12);  // 0.7 is at most 0.77
  EXPECT_EQ(s.memory.count, 1);
  EXPECT_NEAR(s.memory.bias, -0.2, 1e-12);
  EXPECT_NEAR(summary_of({made_up(1.1, 1), made_up(1.3, 1)}).time.median_absolute, 0.2, 1e-12);
  EXPECT_EQ(summary_of({}).time.mean_absolute, 0);
}

TEST(ValidationSummary, TauCountsPairsOfOneWorkload) {
  std::vector<RowPrediction> rows = {made_up(1, 1), made_up(3, 2), made_up(2, 3), made_up(9, 9)};
  const char* layouts[] = {"a", "b", "c", "a"};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].workload = i < 3 ? "one" : "other";
    rows[i].layout = layouts[i];
  }
  const OrderSummary order = summary_of(rows).layouts;
  EXPECT_EQ(order.num_pairs, 3);  // a-b and a-c as measured, b-c not
  EXPECT_NEAR(order.kendall_tau, 1.0 / 3, 1e-12);
}

TEST(ValidationSummary, SchedulesAreRightWhenAllOfASetAre) {
  std::vector<RowPrediction> rows = {made_up(1, 1), made_up(2, 2), made_up(2, 1), made_up(1, 2),
                                     made_up(5, 5)};
  const char* schedules[] = {"zb", "1f1b", "zb", "1f1b", "zb"};
  const char* workloads[] = {"small", "small", "large", "large", "alone"};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].workload = workloads[i];
    rows[i].schedule = schedules[i];
  }
  const ScheduleOrder order = summary_of(rows).schedules;
  EXPECT_EQ(order.num_sets, 2);
  EXPECT_EQ(order.num_right, 1);
}

TEST(ValidationSummary, GroupsKeepTheOrderOfTheRows) {
  std::vector<RowPrediction> rows = {made_up(1, 1), made_up(1, 1), made_up(1.5, 1)};
  rows[0].group = "Z";
  rows[1].group = "A";
  rows[2].group = "Z";
  rows[2].has_experts = true;
  const ValidationReport report = summarize(rows);
  ASSERT_EQ(report.groups.size(), 2U);
  EXPECT_EQ(report.groups[0].name, "Z");
  EXPECT_EQ(report.groups[0].time.count, 2);
  ASSERT_EQ(report.classes.size(), 5U);
  EXPECT_EQ(report.classes[0].name, "dense, determined");
  EXPECT_EQ(report.classes[0].time.count, 2);
  EXPECT_EQ(report.classes[3].name, "experts");
  EXPECT_NEAR(report.classes[3].time.bias, 0.5, 1e-12);
  EXPECT_EQ(report.classes[4].num_rows, 3);
}

}  // namespace
}  // namespace tera::plan
