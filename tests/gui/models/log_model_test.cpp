#include "gui/models/log_model.h"

#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;
using test::text;

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

TEST(LogModel, ALineIsWholeInItsTooltip) {
  LogModel model;
  const QString line = QString("word ").repeated(100);
  model.append({line});
  EXPECT_EQ(model.data(model.index(0, 0), Qt::ToolTipRole).toString(), line);
  model.clear();
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(LogModel, MoreThanTheLimitAtOnceKeepsTheNewest) {
  LogModel model;
  const Tester tester(&model, kFatal);
  model.append({"old"});
  QStringList many;
  for (int i = 0; i < LogModel::kMaxLines + 5; ++i)
    many << QString::number(i);
  model.append(many);
  EXPECT_EQ(model.rowCount(), LogModel::kMaxLines);
  EXPECT_EQ(text(model, 0, 0), "5");
}

TEST(EventModel, SaysWhenWhatAndAtWhichStep) {
  EventModel model;
  model.setRows(
      {{.time_s = 0.5, .attempt = 1, .state = "checkpoint", .detail = "kept", .step = 12000}});
  EXPECT_EQ(text(model, 0, EventModel::EventColumn), "checkpoint");
  EXPECT_EQ(text(model, 0, EventModel::StepColumn), "12,000");
  EXPECT_EQ(text(model, 0, EventModel::DetailColumn), "kept");
  EXPECT_EQ(text(model, 0, EventModel::TimeColumn),
            QDateTime::fromMSecsSinceEpoch(500).toString("HH:mm:ss"));
}

}  // namespace
}  // namespace tera::gui
