#include "gui/models/metric_series_model.h"

#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::record;
using test::Tester;
using test::text;

TEST(MetricSeriesModel, KeepsTrainingAndEvaluationApart) {
  MetricSeriesModel model({"loss", "eval_loss"});
  const Tester tester(&model, kFatal);
  run::MetricRecord eval;
  eval.step = 2;
  eval.values = {{"eval_loss", 6.5}};
  model.append({record(1, 7), record(2, 6), eval, record(3, 5)});
  EXPECT_EQ(model.rowCount(), 4);
  EXPECT_EQ(model.raw(0).size(), 3);
  EXPECT_EQ(model.raw(1).size(), 1);
  EXPECT_EQ(text(model, 2, 3), "n/a");
  EXPECT_EQ(text(model, 2, 5), "6.5");
  EXPECT_EQ(model.lastValue(0), 5);
}

TEST(MetricSeriesModel, IgnoresRecordsWithoutItsMetrics) {
  MetricSeriesModel model({"grad_norm"});
  model.append({record(1, 7)});
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(MetricSeriesModel, SmoothsWithBiasCorrection) {
  MetricSeriesModel model({"loss"});
  model.setSmoothing(0.5);
  model.append({record(1, 8), record(2, 4)});
  EXPECT_DOUBLE_EQ(model.smooth(0).y(0), 8);
  EXPECT_DOUBLE_EQ(model.smooth(0).y(1), (0.5 * 8 + 4) / 1.5);
  model.setSmoothing(0);
  EXPECT_DOUBLE_EQ(model.smooth(0).y(1), 4);
}

TEST(MetricSeriesModel, AResumedRunReplacesItsTail) {
  MetricSeriesModel model({"loss"});
  const Tester tester(&model, kFatal);
  model.append({record(1, 8), record(2, 7), record(3, 6), record(4, 5)});
  model.truncateFrom(3);
  model.append({record(3, 6.5), record(4, 5.5)});
  ASSERT_EQ(model.rowCount(), 4);
  EXPECT_EQ(model.raw(0).size(), 4);
  EXPECT_DOUBLE_EQ(model.raw(0).y(2), 6.5);
  model.truncateFrom(1);
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(MetricSeriesModel, AxesNeverFall) {
  MetricSeriesModel model({"loss"});
  model.append(
      {record(1, 8, 3600), record(2, 7, 7200), record(3, 6, 5400)});  // the clock was set back
  model.setXAxis(XAxis::Hours);
  EXPECT_DOUBLE_EQ(model.raw(0).x(1), 1);
  EXPECT_DOUBLE_EQ(model.raw(0).x(2), 1);
  model.setXAxis(XAxis::Tokens);
  EXPECT_DOUBLE_EQ(model.xRange().second, 300);
  EXPECT_DOUBLE_EQ(model.xOfStep(2), 200);
}

// The average of the model against its definition: sum of b^(t-i) y_i over sum of b^(t-i).
TEST(MetricSeriesModel, TheAverageIsTheWeightedSumOfAllBefore) {
  constexpr double kBeta = 0.9;
  MetricSeriesModel model({"loss"});
  model.setSmoothing(kBeta);
  std::vector<run::MetricRecord> records;
  for (int i = 0; i < 40; ++i)
    records.push_back(record(i + 1, 5 + std::sin(i * 1.7)));
  model.append(records);
  double sum = 0, weight = 0;
  for (int i = 0; i < 40; ++i) {
    sum = sum * kBeta + (5 + std::sin(i * 1.7));
    weight = weight * kBeta + 1;
    EXPECT_NEAR(model.smooth(0).y(i), sum / weight, 1e-12) << i;
  }
}

TEST(MetricSeriesModel, SlicesGiveWhatOneAppendGives) {
  MetricSeriesModel whole({"loss"}), sliced({"loss"});
  const Tester tester(&sliced, kFatal);
  std::vector<run::MetricRecord> records;
  for (int i = 0; i < 100; ++i)
    records.push_back(record(i + 1, std::cos(i)));
  whole.append(records);
  for (std::size_t at = 0; at < records.size(); at += 7)
    sliced.append(
        {records.begin() + static_cast<std::ptrdiff_t>(at),
         records.begin() + static_cast<std::ptrdiff_t>(std::min(at + 7, records.size()))});
  ASSERT_EQ(sliced.rowCount(), whole.rowCount());
  for (int i = 0; i < whole.rowCount(); ++i) {
    EXPECT_EQ(sliced.raw(0).y(i), whole.raw(0).y(i));
    EXPECT_EQ(sliced.smooth(0).y(i), whole.smooth(0).y(i));
  }
}

TEST(MetricSeriesModel, ATruncatedTailLeavesNoTraceInTheAverage) {
  MetricSeriesModel resumed({"loss"}), straight({"loss"});
  resumed.append({record(1, 8), record(2, 7), record(3, 100)});
  resumed.truncateFrom(3);
  resumed.append({record(3, 6)});
  straight.append({record(1, 8), record(2, 7), record(3, 6)});
  EXPECT_EQ(resumed.smooth(0).y(2), straight.smooth(0).y(2));
}

TEST(MetricSeriesModel, HeadersNameMetricsAndExplainThem) {
  const MetricSeriesModel model({"loss"});
  const auto header = [&](int column, int role) {
    return model.headerData(column, Qt::Horizontal, role).toString();
  };
  EXPECT_EQ(header(0, Qt::DisplayRole), "step");
  EXPECT_EQ(header(3, Qt::DisplayRole), "loss");
  EXPECT_EQ(header(4, Qt::DisplayRole), "loss, smoothed");
  EXPECT_FALSE(header(3, Qt::ToolTipRole).isEmpty()) << "the meaning from the catalogue";
  EXPECT_EQ(header(99, Qt::DisplayRole), "");
}

}  // namespace
}  // namespace tera::gui
