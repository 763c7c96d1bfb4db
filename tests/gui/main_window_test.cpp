#include "gui/main_window.h"

#include <QAction>
#include <QLineEdit>
#include <QListWidget>
#include <QToolButton>

#include "core/base/resources.h"
#include "gui/pages/design_page.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/docks.h"
#include "gui/widgets/estimate_strip.h"
#include "gui/widgets/quantity_box.h"
#include "gui/widgets/yaml_editor.h"
#include "tests/gui/find_widget.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

QString runText(const char* name) {
  QFile file(qs(resource_path("runs/" + std::string(name) + ".yaml").value().string()));
  EXPECT_TRUE(file.open(QIODevice::ReadOnly));
  return QString::fromUtf8(file.readAll());
}

TEST(MainWindow, EveryPageOpensWithEverySpec) {
  const QString broken = "name: toy\nmodel:\n  preset: no-such-model\n  num_layers: -3\n";
  for (const QString& text : {QString(kToy), runText("moe-1t"), broken, QString("][")}) {
    Window w;
    w.open(text);
    for (const QString& name : MainWindow::pageNames()) {
      w.window.showPage(name);
      EXPECT_TRUE(w.ready()) << name.toStdString() << " with\n" << text.left(60).toStdString();
      EXPECT_FALSE(w.window.grab().isNull());
    }
  }
}

TEST(MainWindow, ThePaletteSetsAFieldAndSaysWhatItRefuses) {
  Window w;
  w.open(kToy);
  CommandPalette* palette = w.window.showPalette();
  palette->box()->setText(":router top k 4");
  QTest::keyClick(palette->box(), Qt::Key_Return);
  EXPECT_EQ(w.session.document().spec().model.router_top_k, 4);
  EXPECT_EQ(QApplication::focusWidget()->accessibleName(), "Router top k");
  palette = w.window.showPalette();
  palette->box()->setText(":router top k many");
  QTest::keyClick(palette->box(), Qt::Key_Return);
  EXPECT_EQ(w.session.document().spec().model.router_top_k, 4);
  EXPECT_TRUE(w.window.banner()->message().contains("router_top_k"))
      << ss(w.window.banner()->message());
}

TEST(MainWindow, ThePaletteListsEveryCommandThatWorksNow) {
  Window w;
  CommandPalette* palette = w.window.showPalette();
  palette->box()->setText(">");
  int enabled = 0;
  for (const QAction* action : w.window.actions())
    enabled += action->isEnabled() && !action->text().isEmpty();
  EXPECT_EQ(palette->count(), enabled);
  palette->box()->setText(":");
  EXPECT_EQ(palette->count(), 0) << "no project, no fields";
  palette->close();
}

TEST(MainWindow, TheTitleSaysProjectAndEdits) {
  Window w;
  EXPECT_EQ(w.window.windowTitle(), "TeraGPT Workbench");
  w.open(kToy);
  EXPECT_EQ(w.window.windowTitle(), "project — TeraGPT Workbench");
  ASSERT_TRUE(w.session.document().setField("seed", "5"));
  EXPECT_EQ(w.window.windowTitle(), "project • — TeraGPT Workbench");
  w.session.document().undoStack()->undo();
  EXPECT_EQ(w.window.windowTitle(), "project — TeraGPT Workbench");
}

TEST(MainWindow, NoticesStandAboveWhateverPageIsSeen) {
  Window w;
  w.window.showPage("monitor");
  emit w.session.notice("somewhere else", true);
  EXPECT_TRUE(w.window.banner()->message().contains("somewhere else"));
  EXPECT_EQ(w.window.currentPageName(), "monitor");
  w.open(kToy);
  EXPECT_EQ(w.window.banner()->message(), "") << "it was about what was open before";
}

TEST(MainWindow, RecoveredEditsAreSaidAndStayInView) {
  Window first;
  const QString path = first.write("p.yaml", kToy);
  {
    Session crashed(first.settings);
    ASSERT_TRUE(crashed.openFile(path));
    ASSERT_TRUE(crashed.document().setField("seed", "77"));
  }
  ASSERT_TRUE(first.window.openArgument(path));
  EXPECT_TRUE(first.window.banner()->message().contains("not saved last time"));
  EXPECT_EQ(first.session.document().spec().seed, 77U);
}

TEST(MainWindow, StripAndDocksBelongToThePagesOfASpec) {
  Window w;
  EXPECT_FALSE(w.window.strip()->isVisible());
  w.open(kToy);
  EXPECT_TRUE(w.window.strip()->isVisible());
  QTest::keyClick(&w.window, Qt::Key_F4);
  EXPECT_TRUE(w.window.yaml()->isVisible());
  w.window.showPage("monitor");
  EXPECT_FALSE(w.window.strip()->isVisible());
  EXPECT_FALSE(w.window.yaml()->isVisible());
  w.window.showPage("launch");
  EXPECT_TRUE(w.window.yaml()->isVisible()) << "asked for once";
}

TEST(MainWindow, AnUnknownPageIsNoPage) {
  Window w;
  EXPECT_EQ(w.window.showPage("nowhere"), nullptr);
  EXPECT_EQ(w.window.currentPageName(), "start");
}

TEST(MainWindow, TheRailFollowsAndLeads) {
  Window w;
  auto* rail = test::called<QListWidget>(w.window, "Pages");
  ASSERT_NE(rail, nullptr);
  w.window.showPage("monitor");
  EXPECT_EQ(rail->currentRow(), 3);
  rail->setCurrentRow(1);
  EXPECT_EQ(w.window.currentPageName(), "design");
}

TEST(MainWindow, TheStatusBarCountsProblems) {
  Window w;
  w.open(kToy);
  QToolButton* button = nullptr;
  for (auto* one : w.window.findChildren<QToolButton*>())
    if (one->accessibleName().startsWith("Problems:")) button = one;
  ASSERT_NE(button, nullptr);
  EXPECT_EQ(button->text(), "✓ no problems");
  ASSERT_TRUE(w.session.document().setField("model.router_top_k", "60"));
  EXPECT_TRUE(button->text().startsWith("■ errors: ")) << ss(button->text());
  button->click();
  EXPECT_TRUE(w.window.problems()->isVisible());
}

}  // namespace
}  // namespace tera::gui
