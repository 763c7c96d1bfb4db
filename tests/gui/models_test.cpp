// The item models: Qt's own tester on each while rows come and go, and what the cells say.
#include <QAbstractItemModelTester>

#include "core/plan/estimate.h"
#include "gui/models/diagnostic_model.h"
#include "gui/models/expert_load_model.h"
#include "gui/models/log_model.h"
#include "gui/models/metric_series_model.h"
#include "gui/models/param_model.h"
#include "gui/models/preflight_model.h"
#include "gui/models/run_list_model.h"
#include "gui/models/term_tree_model.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

using Tester = QAbstractItemModelTester;
constexpr auto kFatal = Tester::FailureReportingMode::Fatal;

QString text(const QAbstractItemModel& model, int row, int column) {
  return model.data(model.index(row, column)).toString();
}

run::MetricRecord record(std::int64_t step, double loss, double time = 0) {
  run::MetricRecord made;
  made.step = step;
  made.time_s = time;
  made.values = {{"loss", loss}, {"tokens", 100.0 * static_cast<double>(step)}};
  return made;
}

TEST(DiagnosticModel, WorstFirstAndTester) {
  DiagnosticModel model;
  const Tester tester(&model, kFatal);
  model.setDiagnostics(
      {{.severity = Severity::note, .field = "a", .message = "m", .hint = ""},
       {.severity = Severity::error, .field = "b", .message = "n", .hint = "h", .line = 3}});
  EXPECT_EQ(text(model, 0, DiagnosticModel::FieldColumn), "b");
  EXPECT_EQ(text(model, 0, DiagnosticModel::LineColumn), "3");
  EXPECT_EQ(text(model, 1, DiagnosticModel::LineColumn), "");
  EXPECT_EQ(model.count(Severity::error), 1);
  model.setDiagnostics({});
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(ParamModel, PartsAddUpToTheTotal) {
  ParamModel model;
  const Tester tester(&model, kFatal);
  const plan::ParamCounts counts =
      plan::count_params(spec::model_preset("mixtral-8x7b").value().model);
  model.setCounts(counts);
  double sum = 0, shares = 0;
  for (const ParamPart& part : model.rows()) {
    sum += part.count;
    shares += part.share;
  }
  EXPECT_EQ(sum, static_cast<double>(counts.total));
  EXPECT_NEAR(shares, 1, 1e-12);
  EXPECT_EQ(text(model, 0, ParamModel::PartColumn), "routed experts");
}

TEST(TermTreeModel, FollowsAnEstimateAndFindsTerms) {
  TermTreeModel model;
  const Tester tester(&model, kFatal);
  const plan::Estimate small = plan::estimate(test::specOf("tiny-moe", "a")).value();
  model.setTerms({small.step_time, small.stages.front().memory});
  EXPECT_EQ(model.rowCount(), 2);
  const QModelIndex first = model.index(0, 0);
  EXPECT_EQ(model.rowCount(first), static_cast<int>(small.step_time.children.size()));
  const QString path = qs(small.step_time.label + "/" + small.step_time.children.front().label);
  const QModelIndex found = model.find(path);
  ASSERT_TRUE(found.isValid());
  EXPECT_EQ(model.parent(found), first);
  EXPECT_FALSE(model.find("step time/no such").isValid());
  // The same shape with other numbers keeps its nodes, so a view keeps what is expanded.
  spec::RunSpec wider = test::specOf("tiny-moe", "a");
  wider.training.global_batch_size *= 2;
  const plan::Estimate more = plan::estimate(wider).value();
  const QPersistentModelIndex kept = found;
  model.setTerms({more.step_time, more.stages.front().memory});
  EXPECT_TRUE(kept.isValid());
  model.setTerms({});
  EXPECT_EQ(model.rowCount(), 0);
}

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

TEST(RunListModel, SaysNotAvailableInsteadOfZero) {
  RunListModel model;
  const Tester tester(&model, kFatal);
  run::RunStatus fresh;
  fresh.name = "toy";
  fresh.last_loss = std::nan("");
  model.setRows({fresh});
  EXPECT_EQ(text(model, 0, RunListModel::LossColumn), "n/a");
  EXPECT_EQ(text(model, 0, RunListModel::StateColumn), "○ created");
  model.setRows({fresh, fresh, fresh});
  model.setRows({});
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(LogModel, KeepsTheNewestLines) {
  LogModel model;
  const Tester tester(&model, kFatal);
  model.append({"a", "b"});
  QStringList many;
  for (int i = 0; i < LogModel::kMaxLines; ++i)
    many << QString::number(i);
  model.append(many);
  EXPECT_EQ(model.rowCount(), LogModel::kMaxLines);
  EXPECT_EQ(text(model, 0, 0), "0");
  model.append({"last"});
  EXPECT_EQ(model.rowCount(), LogModel::kMaxLines);
  EXPECT_EQ(text(model, model.rowCount() - 1, 0), "last");
  EXPECT_EQ(text(model, 0, 0), "1");
}

TEST(EventModel, Tester) {
  EventModel model;
  const Tester tester(&model, kFatal);
  model.setRows({{.time_s = 1, .attempt = 1, .state = "running", .detail = "d", .step = -1}});
  EXPECT_EQ(text(model, 0, EventModel::StepColumn), "");
}

TEST(PreflightModel, CountsAndTester) {
  PreflightModel model;
  const Tester tester(&model, kFatal);
  using launch::CheckState;
  model.setRows({{.state = CheckState::ok, .name = "a", .detail = "b"},
                 {.state = CheckState::failed, .name = "data", .detail = "d", .hint = "e"}});
  EXPECT_EQ(model.count(CheckState::failed), 1);
  EXPECT_EQ(text(model, 1, PreflightModel::NameColumn), "Data");
  EXPECT_EQ(text(model, 1, PreflightModel::DetailColumn), "d — e");
}

TEST(ExpertLoadModel, DividesEachLayerByItsMean) {
  ExpertLoadModel model;
  const Tester tester(&model, kFatal);
  model.setLoads({{10, 30, 20, 20}, {0, 0, 0, 0}, {5, 5}}, {1, 2, 3}, 12);
  EXPECT_DOUBLE_EQ(model.ratio(0, 1), 1.5);
  EXPECT_DOUBLE_EQ(model.maxOverMean(0), 1.5);
  EXPECT_TRUE(std::isnan(model.ratio(1, 0)));  // no token at all says nothing about balance
  EXPECT_TRUE(std::isnan(model.ratio(2, 2)));  // a layer with fewer experts
  EXPECT_EQ(text(model, 1, 0), "n/a");
  EXPECT_EQ(model.headerData(0, Qt::Vertical, Qt::DisplayRole).toString(), "layer 1");
  model.setLoads({{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 3}}, {1, 2, 3}, 13);
  EXPECT_DOUBLE_EQ(model.expertMean(3), (1 + 1 + 2) / 3.0);
  model.clear();
  EXPECT_EQ(model.columnCount(), 0);
}

}  // namespace
}  // namespace tera::gui
