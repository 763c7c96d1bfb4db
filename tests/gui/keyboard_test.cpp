// The keyboard alone: Tab reaches every control of every page, shortcuts do what the menus say.
#include <QAction>
#include <QDockWidget>
#include <QLineEdit>
#include <QTabBar>
#include <QUndoStack>

#include "gui/pages/design_page.h"
#include "gui/pages/monitor_page.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/docks.h"
#include "gui/widgets/estimate_strip.h"
#include "gui/widgets/yaml_editor.h"
#include "tests/gui/find_widget.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

QString nameOf(const QWidget* widget) {
  return QStringLiteral("%1 \"%2\"")
      .arg(QString::fromLatin1(widget->metaObject()->className()), widget->accessibleName());
}

// What Tab should reach: everything of the window that takes the focus from it now.
QSet<QWidget*> controls(const Window& w) {
  QSet<QWidget*> all;
  for (auto* widget : w.window.findChildren<QWidget*>()) {
    const bool takesTab = (widget->focusPolicy() & Qt::TabFocus) != 0 && widget->isVisible() &&
                          widget->isEnabled() && !widget->isWindow() &&
                          widget->focusProxy() == nullptr;
    const auto* tabs = qobject_cast<const QTabBar*>(widget);
    if (takesTab && (tabs == nullptr || tabs->count() > 0)) all.insert(widget);
  }
  return all;
}

void expectTabReachesEverything(Window& w, const std::string& what) {
  const QSet<QWidget*> wanted = controls(w);
  ASSERT_FALSE(wanted.isEmpty()) << what;
  QWidget* first = QApplication::focusWidget();
  ASSERT_NE(first, nullptr) << what;
  QSet<QWidget*> reached{first};
  for (int i = 0; i < 2 * wanted.size() + 10; ++i) {
    QTest::keyClick(QApplication::focusWidget(), Qt::Key_Tab);
    ASSERT_NE(QApplication::focusWidget(), nullptr) << what;
    reached.insert(QApplication::focusWidget());
  }
  QStringList missed;
  for (QWidget* widget : wanted)
    if (!reached.contains(widget)) missed << nameOf(widget);
  EXPECT_TRUE(missed.isEmpty()) << what << " misses " << ss(missed.join("; "));
}

TEST(Keyboard, TabReachesEveryControlOfEveryPage) {
  Window w;
  w.open(kToy);
  w.session.attachRun(qs(test::makeRun(ss(w.folder.path()), {.hotExpert = 3})));
  for (const QString& page : MainWindow::pageNames()) {
    w.window.showPage(page);
    ASSERT_TRUE(w.ready());
    expectTabReachesEverything(w, ss(page));
  }
}

TEST(Keyboard, TabReachesTheEmptyPages) {
  Window w;
  for (const QString& page : MainWindow::pageNames()) {
    w.window.showPage(page);
    ASSERT_TRUE(w.ready());
    if (QApplication::focusWidget() == nullptr) QTest::keyClick(&w.window, Qt::Key_Tab);
    expectTabReachesEverything(w, ss(page));
  }
}

TEST(Keyboard, TabReachesTheDocksAndTheBrokenFile) {
  Window w;
  w.open("model: {preset: tiny-moe, num_expert: 4}\n");
  for (const Qt::Key key : {Qt::Key_1, Qt::Key_2})
    QTest::keyClick(&w.window, key, Qt::AltModifier);
  w.window.yaml()->setFocus();
  expectTabReachesEverything(w, "broken");
}

TEST(Keyboard, BackTabGoesTheSameWayBack) {
  Window w;
  w.open(kToy);
  QWidget* first = QApplication::focusWidget();
  for (int i = 0; i < 12; ++i)
    QTest::keyClick(QApplication::focusWidget(), Qt::Key_Tab);
  EXPECT_NE(QApplication::focusWidget(), first);
  for (int i = 0; i < 12; ++i)
    QTest::keyClick(QApplication::focusWidget(), Qt::Key_Tab, Qt::ShiftModifier);
  EXPECT_EQ(QApplication::focusWidget(), first);
}

TEST(Keyboard, NoTwoActionsShareAShortcut) {
  Window w;
  QHash<QString, QString> owners;
  for (const QAction* action : w.window.actions()) {
    for (const QKeySequence& keys : action->shortcuts()) {
      const QString text = keys.toString();
      EXPECT_FALSE(owners.contains(text))
          << ss(text) << ": " << ss(owners.value(text)) << " and " << ss(action->text());
      owners.insert(text, action->text());
    }
  }
  EXPECT_GE(owners.size(), 20);
}

TEST(Keyboard, CtrlAndANumberShowAPage) {
  Window w;
  w.open(kToy);
  const QStringList pages = MainWindow::pageNames();
  for (qsizetype i = pages.size(); i-- > 0;) {
    QTest::keyClick(&w.window, static_cast<Qt::Key>(Qt::Key_1 + i), Qt::ControlModifier);
    EXPECT_EQ(w.window.currentPageName(), pages[i]);
  }
}

TEST(Keyboard, ShortcutsShowAndHideTheDocks) {
  Window w;
  w.open(kToy);
  struct Case {
    Qt::Key key;
    Qt::KeyboardModifiers modifiers;
    const char* dock;
  };
  for (const Case& c :
       {Case{Qt::Key_F4, Qt::NoModifier, "yaml"}, Case{Qt::Key_1, Qt::AltModifier, "problems"},
        Case{Qt::Key_2, Qt::AltModifier, "explain"}}) {
    const auto* dock = w.window.findChild<QDockWidget*>(c.dock);
    QTest::keyClick(&w.window, c.key, c.modifiers);
    EXPECT_TRUE(dock->isVisible()) << c.dock;
    QTest::keyClick(&w.window, c.key, c.modifiers);
    EXPECT_FALSE(dock->isVisible()) << c.dock;
  }
}

TEST(Keyboard, UndoAndRedoWorkFromAFieldAndFromThePane) {
  Window w;
  w.open(kToy);
  auto* design = qobject_cast<DesignPage*>(w.window.currentPage());
  design->focusField("model.num_experts");
  auto* line = QApplication::focusWidget()->findChild<QLineEdit*>();
  line->selectAll();
  QTest::keyClicks(QApplication::focusWidget(), "16");
  ASSERT_EQ(w.session.document().spec().model.num_experts, 16);
  QTest::keyClick(QApplication::focusWidget(), Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(w.session.document().text(), QString(kToy));
  QTest::keyClick(QApplication::focusWidget(), Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
  EXPECT_EQ(w.session.document().spec().model.num_experts, 16);
  QTest::keyClick(&w.window, Qt::Key_F4);
  w.window.yaml()->setFocus();
  QTest::keyClick(w.window.yaml(), Qt::Key_Z, Qt::ControlModifier);
  EXPECT_EQ(w.session.document().text(), QString(kToy));
}

TEST(Keyboard, F8GoesThroughTheProblems) {
  Window w;
  w.open(kToy);
  ASSERT_TRUE(w.session.document().setField("model.router_top_k", "60"));
  QTest::keyClick(&w.window, Qt::Key_F8);
  EXPECT_TRUE(w.window.problems()->isVisible());
  const std::string field = w.window.problems()->model().row(0).field;
  auto* design = qobject_cast<DesignPage*>(w.window.currentPage());
  EXPECT_EQ(QApplication::focusWidget(), design->form(field)->editor(field));
}

TEST(Keyboard, F6GoesRoundTheRegions) {
  Window w;
  w.open(kToy);
  QTest::keyClick(&w.window, Qt::Key_F4);
  QSet<QString> regions;
  const auto region = [&]() -> QString {
    for (QWidget* at = QApplication::focusWidget(); at != nullptr; at = at->parentWidget()) {
      if (at == w.window.yaml()) return "yaml";
      if (at == w.window.strip()) return "strip";
      if (at == w.window.currentPage()) return "page";
      if (at->accessibleName() == "Pages") return "rail";
    }
    return "elsewhere";
  };
  for (int i = 0; i < 4; ++i) {
    QTest::keyClick(&w.window, Qt::Key_F6);
    regions.insert(region());
  }
  EXPECT_EQ(regions, (QSet<QString>{"yaml", "strip", "page", "rail"}));
  const QString now = region();
  QTest::keyClick(&w.window, Qt::Key_F6);
  QTest::keyClick(&w.window, Qt::Key_F6, Qt::ShiftModifier);
  EXPECT_EQ(region(), now);
}

TEST(Keyboard, CtrlKOpensThePalette) {
  Window w;
  QTest::keyClick(&w.window, Qt::Key_K, Qt::ControlModifier);
  auto* palette = w.window.findChild<CommandPalette*>();
  ASSERT_NE(palette, nullptr);
  EXPECT_TRUE(palette->isVisible());
  palette->close();
}

TEST(Keyboard, ReturnPressesTheButtonInFocus) {
  Window w;
  w.window.showPage("monitor");
  QAbstractButton* choose = test::buttonSaying(w.window, "Choose a run");
  ASSERT_NE(choose, nullptr);
  choose->setFocus();
  QTest::keyClick(choose, Qt::Key_Return);
  EXPECT_EQ(w.window.currentPageName(), "start");
}

TEST(Keyboard, F1ExplainsTheFieldInFocusOrShowsTheKeys) {
  Window w;
  QTest::keyClick(&w.window, Qt::Key_F1);
  QWidget* sheet = nullptr;
  for (QWidget* top : QApplication::topLevelWidgets())
    if (top->isVisible() && top->windowTitle() == "Keyboard") sheet = top;
  ASSERT_NE(sheet, nullptr);
  sheet->close();
}

}  // namespace
}  // namespace tera::gui
