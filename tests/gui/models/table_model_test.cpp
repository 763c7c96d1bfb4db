#include "gui/models/table_model.h"

#include "gui/models/log_model.h"
#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;
using test::text;

// EventModel stands for every TableModel.
run::RunEvent event(int step) {
  return {.time_s = 0, .attempt = 1, .state = "s", .detail = "", .step = step};
}

TEST(TableModel, SetRowsKeepsTheRowsThatStay) {
  EventModel model;
  const Tester tester(&model, kFatal);
  const QSignalSpy resets(&model, &QAbstractItemModel::modelReset);
  const QSignalSpy inserted(&model, &QAbstractItemModel::rowsInserted);
  const QSignalSpy removed(&model, &QAbstractItemModel::rowsRemoved);
  model.setRows({event(1), event(2)});
  const QPersistentModelIndex first = model.index(0, 0);
  model.setRows({event(1), event(2), event(3)});
  EXPECT_EQ(inserted.count(), 2);
  model.setRows({event(4)});
  EXPECT_EQ(removed.count(), 1);
  EXPECT_TRUE(first.isValid());
  EXPECT_EQ(resets.count(), 0);
  EXPECT_EQ(text(model, 0, EventModel::StepColumn), "4");
}

TEST(TableModel, AppendAndRemoveFirst) {
  EventModel model;
  const Tester tester(&model, kFatal);
  model.appendRows({});
  EXPECT_EQ(model.rowCount(), 0);
  model.appendRows({event(1), event(2), event(3)});
  model.removeFirst(2);
  model.removeFirst(0);
  ASSERT_EQ(model.rowCount(), 1);
  EXPECT_EQ(model.row(0).step, 3);
}

TEST(TableModel, HeadersAndForeignIndexes) {
  EventModel model;
  model.setRows({event(1)});
  EXPECT_EQ(model.headerData(EventModel::EventColumn, Qt::Horizontal, Qt::DisplayRole), "Event");
  EXPECT_EQ(model.headerData(0, Qt::Vertical, Qt::DisplayRole), 1);
  EXPECT_FALSE(model.headerData(99, Qt::Horizontal, Qt::DisplayRole).isValid());
  EXPECT_FALSE(model.data({}, Qt::DisplayRole).isValid());
  EXPECT_EQ(model.rowCount(model.index(0, 0)), 0);
}

}  // namespace
}  // namespace tera::gui
