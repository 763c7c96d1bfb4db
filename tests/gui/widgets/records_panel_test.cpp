#include "gui/widgets/records_panel.h"

#include <QTabBar>
#include <QTableView>

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

run::RunEvent event(const char* state, int step) {
  return {.time_s = 1, .attempt = 1, .state = state, .detail = "d", .step = step};
}

TEST(RecordsPanel, TellsWhetherThereAreOtherEvents) {
  RecordsPanel panel;
  EXPECT_FALSE(panel.setEvents({}));
  EXPECT_TRUE(panel.setEvents({event("starting", -1)}));
  EXPECT_FALSE(panel.setEvents({event("starting", -1)}));
  EXPECT_TRUE(panel.setEvents({event("starting", -1), event("running", 1)}));
  EXPECT_EQ(panel.events().rowCount(), 2);
}

TEST(RecordsPanel, ANewAttemptStartsItsLogAfresh) {
  RecordsPanel panel;
  panel.appendLog({"a", "b"}, true);
  panel.appendLog({"c"}, false);
  EXPECT_EQ(panel.log().rowCount(), 3);
  panel.appendLog({}, false);
  EXPECT_EQ(panel.log().rowCount(), 3);
  panel.appendLog({"again"}, true);
  ASSERT_EQ(panel.log().rowCount(), 1);
  EXPECT_EQ(panel.log().row(0), "again");
  panel.clear();
  EXPECT_EQ(panel.log().rowCount(), 0);
  EXPECT_EQ(panel.events().rowCount(), 0);
}

TEST(RecordsPanel, ShowLogBringsTheLogToTheFront) {
  RecordsPanel panel;
  EXPECT_EQ(panel.tabText(panel.currentIndex()), "Events");
  panel.showLog();
  EXPECT_EQ(panel.tabText(panel.currentIndex()), "Log");
}

TEST(RecordsPanel, TabsAndTablesHaveNames) {
  const RecordsPanel panel;
  EXPECT_EQ(panel.tabBar()->accessibleName(), "Events and log");
  QStringList names;
  for (const auto* table : panel.findChildren<QTableView*>())
    names << table->accessibleName();
  names.sort();
  EXPECT_EQ(names, (QStringList{"Events", "Log"}));
}

}  // namespace
}  // namespace tera::gui
