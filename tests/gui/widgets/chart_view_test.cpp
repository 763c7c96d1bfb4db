#include "gui/widgets/chart_view.h"

#include <QTableView>

#include "tests/gui/widgets/chart_fixture.h"

namespace tera::gui {
namespace {

using test::Chart;

TEST(ChartView, TitleHasTheUnitAndNamesForAScreenReader) {
  Chart chart(5, [](int i) { return double(i); });
  EXPECT_EQ(chart.view.accessibleName(), "Loss (nat)");
  EXPECT_EQ(chart.plot().accessibleName(), "Chart of Loss");
  EXPECT_EQ(chart.view.findChild<QTableView*>()->accessibleName(), "Table of Loss");
}

TEST(ChartView, CtrlTShowsTheDataAndGoesBack) {
  Chart chart(5, [](int i) { return 10.0 + i; });
  chart.plot().setFocus();
  QTest::keyClick(&chart.plot(), Qt::Key_T, Qt::ControlModifier);
  ASSERT_TRUE(chart.view.tableShown());
  auto* table = chart.view.findChild<QTableView*>();
  EXPECT_TRUE(table->hasFocus()) << "the keyboard is where the data is";
  EXPECT_EQ(table->model()->rowCount(), 5);
  EXPECT_EQ(table->model()->index(4, 3).data().toString(), "14");
  QTest::keyClick(table, Qt::Key_T, Qt::ControlModifier);
  EXPECT_FALSE(chart.view.tableShown());
  EXPECT_TRUE(chart.plot().hasFocus());
}

TEST(ChartView, TheReadoutStandsInTheHeader) {
  Chart chart(5, [](int i) { return 10.0 + i; });
  QTest::keyClick(&chart.plot(), Qt::Key_Right);
  bool found = false;
  for (const auto* label : chart.view.findChildren<QLabel*>())
    found = found || label->text() == "@ 1  10";
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace tera::gui
