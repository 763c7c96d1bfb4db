#include "gui/widgets/expert_panel.h"

#include <QTableView>
#include <QToolButton>

#include "gui/widgets/heat_map.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(ExpertPanel, ButtonAndCtrlTShowTheTable) {
  ExpertLoadModel model;
  model.setLoads({{1, 3}}, {2}, 1);
  ExpertPanel panel(model);
  panel.resize(500, 300);
  panel.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&panel));
  auto* table = panel.findChild<QTableView*>();
  EXPECT_TRUE(panel.map().isVisible());
  panel.map().setFocus();
  QTest::keyClick(&panel.map(), Qt::Key_T, Qt::ControlModifier);
  EXPECT_TRUE(panel.tableShown());
  EXPECT_TRUE(table->isVisible());
  EXPECT_TRUE(table->hasFocus());
  auto* button = panel.findChild<QToolButton*>();
  EXPECT_TRUE(button->isChecked()) << "the button knows";
  button->click();
  EXPECT_FALSE(panel.tableShown());
  EXPECT_TRUE(panel.map().isVisible());
}

TEST(ExpertPanel, ManyExpertsScrollInTheTable) {
  ExpertLoadModel model;
  model.setLoads({std::vector<double>(256, 1.0)}, {0}, 1);
  ExpertPanel panel(model);
  panel.resize(500, 300);
  panel.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&panel));
  panel.findChild<QToolButton*>()->click();
  auto* table = panel.findChild<QTableView*>();
  table->setFocus();
  table->setCurrentIndex(model.index(0, 0));
  for (int i = 0; i < 30; ++i)
    QTest::keyClick(table, Qt::Key_Right);
  EXPECT_EQ(table->currentIndex().column(), 30);
  EXPECT_TRUE(table->viewport()->rect().intersects(table->visualRect(model.index(0, 30))));
}

}  // namespace
}  // namespace tera::gui
