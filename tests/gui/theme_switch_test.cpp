// Another theme while the program runs: every page then looks as if it had been opened in it.
#include <QAction>
#include <QTableView>

#include "gui/theme.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

struct ThemeSwitch : testing::Test {
  void TearDown() override { applyTheme(ThemeChoice::Dark); }
};

struct Picture {
  QImage image;
  QStringList cells;  // of its tables
};

QStringList cells(const QWidget& page) {
  QStringList texts;
  for (const QTableView* table : page.findChildren<QTableView*>()) {
    const QAbstractItemModel& model = *table->model();
    for (int row = 0; row < model.rowCount(); ++row)
      for (int column = 0; column < model.columnCount(); ++column)
        texts.append(model.index(row, column).data().toString());
  }
  return texts;
}

// Of each page, without the focus, whose text cursor blinks.
QHash<QString, Picture> pictures(Window& w) {
  QHash<QString, Picture> images;
  for (const QString& page : MainWindow::pageNames()) {
    w.window.showPage(page);
    EXPECT_TRUE(w.ready());
    if (QWidget* focus = QApplication::focusWidget()) focus->clearFocus();
    EXPECT_TRUE(test::waitFor([&] { return w.window.currentPage()->isReady(); }));
    for (int i = 0; i < 3; ++i)
      QCoreApplication::processEvents();
    images.insert(page, {w.window.grab().toImage(), cells(*w.window.currentPage())});
  }
  return images;
}

void fill(Window& w, const QString& run) {
  w.open(kToy);
  for (QAction* action : w.window.actions())
    if (action->isCheckable()) action->setChecked(true);
  w.session.attachRun(run);
}

TEST_F(ThemeSwitch, APageLooksAsIfOpenedInTheNewTheme) {
  const QTemporaryDir folder;
  const QString run = qs(test::makeRun(ss(folder.path()), {.hotExpert = 2, .deadExpert = 3}));
  for (const auto& [from, to] : {std::pair{ThemeChoice::Dark, ThemeChoice::Light},
                                 std::pair{ThemeChoice::Light, ThemeChoice::Dark}}) {
    QHash<QString, Picture> fresh, before, after;
    {
      applyTheme(to);
      Window w;
      fill(w, run);
      pictures(w);  // every page is made and laid out
      fresh = pictures(w);
    }
    applyTheme(from);
    Window w;
    fill(w, run);
    pictures(w);
    before = pictures(w);
    applyTheme(to);
    after = pictures(w);
    for (const QString& page : MainWindow::pageNames()) {
      EXPECT_GT(std::abs(test::lightness(after[page].image) - test::lightness(before[page].image)),
                100)
          << ss(page);
      if (page == "start") continue;  // it lists the projects of each window by their path
      // What preflight measures may change meanwhile: the room on a disk.
      if (page == "launch" && fresh[page].cells != after[page].cells) continue;
      int different = 0;
      const QImage& a = fresh[page].image;
      const QImage& b = after[page].image;
      ASSERT_EQ(a.size(), b.size());
      const int below = a.height() - 40;  // the status bar names the file of each window
      for (int y = 0; y < below; ++y)
        for (int x = 0; x < a.width(); ++x)
          different += a.pixel(x, y) != b.pixel(x, y);
      EXPECT_LT(different, 40) << ss(page) << " keeps colours of the other theme";
    }
  }
}

TEST_F(ThemeSwitch, TheMenuSwitchesAndRemembers) {
  Window w;
  const auto trigger = [&](const QString& text) {
    for (QAction* action : w.window.findChildren<QAction*>())
      if (action->text().remove('&') == text) action->trigger();
  };
  trigger("Light");
  EXPECT_FALSE(theme().dark);
  EXPECT_EQ(w.settings.theme(), ThemeChoice::Light);
  trigger("Dark");
  EXPECT_TRUE(theme().dark);
  trigger("Light or dark");  // the button of the toolbar
  EXPECT_FALSE(theme().dark);
  EXPECT_EQ(w.settings.theme(), ThemeChoice::Light);
}

}  // namespace
}  // namespace tera::gui
