// What a screen reader finds: a name on everything that takes the focus, on every page, in every
// state and in every dialog.
#include <QAccessible>
#include <QAction>
#include <QDialog>
#include <QLineEdit>
#include <QMenu>
#include <QMenuBar>
#include <QTabBar>

#include "gui/about.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/docks.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

// Everything focusable below `root` that has no name.
void unnamed(QAccessibleInterface* root, QStringList& found) {
  if (root == nullptr) return;
  for (int i = 0; i < root->childCount(); ++i) {
    QAccessibleInterface* child = root->child(i);
    if (child == nullptr || child->state().invisible) continue;
    auto* widget = qobject_cast<QWidget*>(child->object());
    // The main window keeps a tab bar without tabs for docks that are not shown.
    if (const auto* tabs = qobject_cast<QTabBar*>(widget); tabs != nullptr && tabs->count() == 0)
      continue;
    if (widget != nullptr && widget->focusPolicy() != Qt::NoFocus &&
        widget->focusProxy() == nullptr && widget->isVisible() &&
        child->text(QAccessible::Name).isEmpty())
      found << QStringLiteral("%1 in %2")
                   .arg(QString::fromLatin1(widget->metaObject()->className()),
                        QString::fromLatin1(widget->parentWidget()->metaObject()->className()));
    unnamed(child, found);
  }
}

std::string unnamedIn(QWidget& window) {
  QStringList found;
  unnamed(QAccessible::queryAccessibleInterface(&window), found);
  return ss(found.join("; "));
}

void expectNames(Window& w, const std::string& what) {
  for (const QString& page : MainWindow::pageNames()) {
    w.window.showPage(page);
    ASSERT_TRUE(w.ready());
    EXPECT_EQ(unnamedIn(w.window), "") << what << ": " << ss(page);
  }
}

// The walk itself must find what it is for.
TEST(Accessibility, TheWalkFindsAControlWithoutAName) {
  QWidget window;
  auto* group = new QWidget(&window);
  auto* edit = new QLineEdit(group);
  window.show();
  EXPECT_EQ(unnamedIn(window), "QLineEdit in QWidget");
  edit->setAccessibleName("Name");
  EXPECT_EQ(unnamedIn(window), "");
}

TEST(Accessibility, EveryControlOfAProjectAndItsRunHasAName) {
  Window w;
  w.open(kToy);
  w.session.attachRun(qs(test::makeRun(ss(w.folder.path()), {.hotExpert = 2})));
  for (QAction* action : w.window.actions())
    if (action->isCheckable()) action->setChecked(true);  // the docks
  expectNames(w, "toy");
}

TEST(Accessibility, EveryControlOfTheEmptyPagesHasAName) {
  Window w;
  expectNames(w, "empty");
}

TEST(Accessibility, EveryControlOfABrokenFileHasAName) {
  Window w;
  w.open("][");
  w.window.banner()->show("a message", true, "Do it", [] {});
  expectNames(w, "broken");
}

TEST(Accessibility, DialogsHaveNamesToo) {
  Window w;
  w.open(kToy);
  CommandPalette* palette = w.window.showPalette();
  EXPECT_EQ(unnamedIn(*palette), "");
  palette->close();
  showShortcuts(&w.window, w.window.actions());
  showAbout(&w.window);
  int dialogs = 0;
  for (auto* dialog : w.window.findChildren<QDialog*>()) {
    if (!dialog->isVisible()) continue;
    ++dialogs;
    EXPECT_EQ(unnamedIn(*dialog), "") << ss(dialog->windowTitle());
    EXPECT_FALSE(dialog->windowTitle().isEmpty());
    dialog->close();
  }
  EXPECT_EQ(dialogs, 2);
}

// A picture in words: painted widgets describe what they show.
TEST(Accessibility, PaintedWidgetsDescribeTheirPicture) {
  Window w;
  w.open(kToy);
  w.session.attachRun(qs(test::makeRun(ss(w.folder.path()), {})));
  int painted = 0;
  for (const char* page : {"design", "monitor"}) {
    w.window.showPage(page);
    ASSERT_TRUE(w.ready());
    for (const auto* widget : w.window.currentPage()->findChildren<QWidget*>()) {
      const QString name = QString::fromLatin1(widget->metaObject()->className());
      if (name != "tera::gui::BlockDiagram" && name != "tera::gui::MemoryBar" &&
          name != "tera::gui::PartsBar" && name != "tera::gui::HeatMap")
        continue;
      ++painted;
      EXPECT_FALSE(widget->accessibleName().isEmpty()) << ss(name);
      EXPECT_FALSE(widget->accessibleDescription().isEmpty()) << ss(name);
    }
  }
  EXPECT_EQ(painted, 5);
}

TEST(Accessibility, EveryMenuEntryHasAMnemonic) {
  Window w;
  for (const QAction* menu : w.window.menuBar()->actions()) {
    EXPECT_TRUE(menu->text().contains('&')) << ss(menu->text());
    for (const QAction* entry : menu->menu()->actions()) {
      if (entry->isSeparator() || entry->text().startsWith("Undo") ||
          entry->text().startsWith("Redo"))
        continue;
      const bool page = MainWindow::pageNames().contains(entry->text().toLower());
      EXPECT_TRUE(page || entry->text().contains('&')) << ss(entry->text());
    }
  }
}

}  // namespace
}  // namespace tera::gui
