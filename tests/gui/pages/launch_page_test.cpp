#include "gui/pages/launch_page.h"

#include <QPushButton>
#include <QTableView>

#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

TEST(Launch, PreflightNamesWhatIsMissing) {
  Window w;
  w.open(kToy);
  auto* page = w.page<LaunchPage>("launch");
  ASSERT_TRUE(w.ready());
  bool dataMissing = false;
  for (const launch::Check& check : page->checks().rows())
    dataMissing =
        dataMissing || (check.state == launch::CheckState::failed && check.name == "data");
  EXPECT_TRUE(dataMissing);
  EXPECT_FALSE(page->launchButton()->isEnabled());
  page->launchIfGreen();
  ASSERT_TRUE(w.ready());
  EXPECT_EQ(w.window.currentPageName(), "launch");  // nothing started
}

TEST(Launch, ChecksAndControlsFitTheSmallestWindow) {
  Window w;
  w.open(QString(kToy) + "data:\n  datasets:\n    - path: " + QString("somewhere/").repeated(20) +
         "tokens\n");
  w.window.resize(MainWindow::kMinWidth, MainWindow::kMinHeight);
  auto* page = w.page<LaunchPage>("launch");
  ASSERT_TRUE(w.ready());
  auto* table = page->findChild<QTableView*>();
  bool anyWrapped = false;
  for (int row = 0; row < page->checks().rowCount(); ++row) {
    const QModelIndex index = page->checks().index(row, PreflightModel::DetailColumn);
    const QRect cell = table->visualRect(index);
    const int needed = table->fontMetrics()
                           .boundingRect(QRect(0, 0, cell.width(), 10'000), Qt::TextWrapAnywhere,
                                         index.data().toString())
                           .height();
    EXPECT_GE(cell.height(), needed) << ss(index.data().toString());
    anyWrapped = anyWrapped || needed > table->fontMetrics().height();
  }
  EXPECT_TRUE(anyWrapped);
  const QRect pageRect(page->mapToGlobal(QPoint(0, 0)), page->size());
  for (const auto* button : page->findChildren<QPushButton*>()) {
    if (!button->isVisible()) continue;
    EXPECT_TRUE(pageRect.contains(QRect(button->mapToGlobal(QPoint(0, 0)), button->size())))
        << ss(button->text());
  }
}

}  // namespace
}  // namespace tera::gui
