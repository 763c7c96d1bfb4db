#include "gui/widgets/read_table.h"

#include <QClipboard>
#include <QHeaderView>
#include <QLineEdit>
#include <QScrollBar>

#include "gui/models/log_model.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

QStringList lines(int from, int to) {
  QStringList all;
  for (int i = from; i < to; ++i)
    all << QString("line %1").arg(i);
  return all;
}

struct Table {
  explicit Table(int rows) : table(&model, "Lines") {
    model.append(lines(0, rows));
    table.resize(300, 200);
    table.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&table));
  }
  // The first and last row that are seen, whole.
  void expectWholeRows(int height) {
    const int row = table.verticalHeader()->defaultSectionSize();
    EXPECT_EQ(table.viewport()->height() % row, 0) << height;
    EXPECT_EQ(table.rowViewportPosition(table.rowAt(0)), 0) << height;
  }
  LogModel model;
  ReadTable table;
};

TEST(ReadTable, ShowsWholeRowsAtAnyHeightAndPlace) {
  Table t(200);
  for (int height = 70; height < 130; height += 3) {
    t.table.resize(300, height);
    for (const int place : {0, 7, 100, 10'000}) {
      t.table.verticalScrollBar()->setValue(place);
      t.expectWholeRows(height);
    }
  }
  EXPECT_EQ(t.table.rowAt(t.table.viewport()->height() - 1), 199) << "the last one is reached";
}

TEST(ReadTable, HasRoomForTwoRowsAtLeast) {
  Table t(5);
  t.table.resize(300, t.table.minimumSizeHint().height());
  EXPECT_EQ(t.table.viewport()->height(), 2 * t.table.verticalHeader()->defaultSectionSize());
  t.table.horizontalHeader()->hide();
  t.table.resize(300, t.table.minimumSizeHint().height());
  EXPECT_EQ(t.table.viewport()->height(), 2 * t.table.verticalHeader()->defaultSectionSize());
}

TEST(ReadTable, FollowsItsTailUntilAPersonScrollsAway) {
  Table t(100);
  t.table.followTail();
  t.table.scrollToBottom();
  t.model.append(lines(100, 150));
  const QScrollBar* bar = t.table.verticalScrollBar();
  EXPECT_EQ(bar->value(), bar->maximum());
  t.table.verticalScrollBar()->setValue(20);
  t.model.append(lines(150, 200));
  EXPECT_EQ(bar->value(), 20) << "what is read stays in place";
  t.table.scrollToBottom();
  t.model.append(lines(200, 250));
  EXPECT_EQ(bar->value(), bar->maximum());
}

TEST(ReadTable, CtrlCCopiesTheRowThatIsShown) {
  EventModel model;
  model.setRows({{.time_s = 0, .attempt = 1, .state = "running", .detail = "d", .step = 7}});
  ReadTable table(&model, "Events");
  table.hideColumn(EventModel::TimeColumn);
  QApplication::clipboard()->setText("before");
  QTest::keyClick(&table, Qt::Key_C, Qt::ControlModifier);
  EXPECT_EQ(QApplication::clipboard()->text(), "before") << "no row is chosen";
  table.setCurrentIndex(model.index(0, EventModel::EventColumn));
  QTest::keyClick(&table, Qt::Key_C, Qt::ControlModifier);
  EXPECT_EQ(QApplication::clipboard()->text(), "running\t7\td");
}

TEST(ReadTable, TabLeavesItAndArrowsMoveInIt) {
  QWidget window;
  LogModel model;
  model.append(lines(0, 5));
  ReadTable table(&model, "Lines", &window);
  table.resize(200, 150);
  QLineEdit next(&window);
  window.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&window));
  table.setFocus();
  QTest::keyClick(&table, Qt::Key_Down);
  QTest::keyClick(&table, Qt::Key_Down);
  EXPECT_GE(table.currentIndex().row(), 1);
  QTest::keyClick(&table, Qt::Key_Tab);
  EXPECT_TRUE(next.hasFocus());
}

TEST(ReadTable, WhatDoesNotFitAcrossScrolls) {
  EventModel model;
  model.setRows({{.time_s = 0, .attempt = 1, .state = "s", .detail = "d", .step = 7}});
  ReadTable table(&model, "Events");
  for (int column = 0; column < model.columnCount(); ++column)
    table.setColumnWidth(column, 200);
  table.resize(300, 150);
  table.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&table));
  EXPECT_GT(table.horizontalScrollBar()->maximum(), 0);
}

}  // namespace
}  // namespace tera::gui
