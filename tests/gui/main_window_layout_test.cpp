// What comes back with the next start: size, docks, splitters, page, project, run.
#include <QAction>
#include <QDockWidget>
#include <QSplitter>

#include "gui/widgets/banner.h"
#include "gui/widgets/yaml_editor.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;

// Windows one after the other over the same settings.
struct Starts {
  struct One {
    explicit One(const QString& settingsFile)
        : settings(settingsFile), session(settings), window(session) {
      window.restoreLayout();
      window.reopen();
      window.show();
      EXPECT_TRUE(QTest::qWaitForWindowExposed(&window));
    }
    QSplitter* splitter(const char* page, const char* name) {
      return window.showPage(page)->findChild<QSplitter*>(name);
    }
    QDockWidget* dock(const char* name) { return window.findChild<QDockWidget*>(name); }
    QAction* action(const QString& text) {
      for (QAction* one : window.actions())
        if (one->text().remove('&').startsWith(text)) return one;
      return nullptr;
    }
    Settings settings;
    Session session;
    MainWindow window;
  };
  std::unique_ptr<One> start() { return std::make_unique<One>(folder.filePath("s.ini")); }
  QString project(const char* name) const {
    QFile file(folder.filePath(name));
    EXPECT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(kToy);
    return file.fileName();
  }
  QTemporaryDir folder;
};

TEST(WindowLayout, TheFirstStartHasADefaultSizeAndNoDocks) {
  Starts starts;
  const auto first = starts.start();
  EXPECT_EQ(first->window.size(), QSize(1366, 768));
  EXPECT_EQ(first->window.currentPageName(), "start");
  for (const char* name : {"yaml", "problems", "explain"})
    EXPECT_FALSE(first->dock(name)->isVisible()) << name;
}

TEST(WindowLayout, SizeAndSplittersComeBack) {
  Starts starts;
  QList<int> columns, rows;
  {
    const auto first = starts.start();
    first->window.resize(1500, 900);
    ASSERT_TRUE(first->window.openArgument(starts.project("p.yaml")));
    QCoreApplication::processEvents();
    QSplitter* splitter = first->splitter("design", "columns");
    splitter->setSizes({500, splitter->width() - 500});
    first->splitter("monitor", "rows")->setSizes({100, 400, 300});
    first->window.showPage("design");
    columns = splitter->sizes();
    first->window.close();
  }
  const auto second = starts.start();
  EXPECT_EQ(second->window.size(), QSize(1500, 900));
  EXPECT_EQ(second->splitter("design", "columns")->sizes(), columns);
}

TEST(WindowLayout, DocksComeBackOnThePagesTheyBelongTo) {
  Starts starts;
  int width = 0;
  {
    const auto first = starts.start();
    ASSERT_TRUE(first->window.openArgument(starts.project("p.yaml")));
    first->action("YAML")->setChecked(true);
    first->action("Problems")->setChecked(true);
    first->window.resizeDocks({first->dock("yaml")}, {470}, Qt::Horizontal);
    QCoreApplication::processEvents();
    width = first->dock("yaml")->width();
    first->window.showPage("monitor");  // where no dock is shown
    EXPECT_FALSE(first->dock("yaml")->isVisible());
    first->window.close();
  }
  const auto second = starts.start();
  EXPECT_FALSE(second->dock("yaml")->isVisible());
  second->window.showPage("design");
  EXPECT_TRUE(second->dock("yaml")->isVisible());
  EXPECT_TRUE(second->dock("problems")->isVisible());
  EXPECT_FALSE(second->dock("explain")->isVisible());
  QCoreApplication::processEvents();
  EXPECT_NEAR(second->dock("yaml")->width(), width, 2);
}

TEST(WindowLayout, ADockThatWasMovedStaysMoved) {
  Starts starts;
  {
    const auto first = starts.start();
    ASSERT_TRUE(first->window.openArgument(starts.project("p.yaml")));
    first->action("YAML")->setChecked(true);
    first->window.addDockWidget(Qt::LeftDockWidgetArea, first->dock("yaml"));
    first->window.close();
  }
  const auto second = starts.start();
  EXPECT_EQ(second->window.dockWidgetArea(second->dock("yaml")), Qt::LeftDockWidgetArea);
}

TEST(WindowLayout, ProjectRunAndPageComeBack) {
  Starts starts;
  const QString project = starts.project("p.yaml");
  const QString run = qs(test::makeRun(ss(starts.folder.path()), {.steps = 3}));
  {
    const auto first = starts.start();
    ASSERT_TRUE(first->window.openArgument(project));
    ASSERT_TRUE(first->window.openArgument(run));
    first->window.close();
  }
  {
    const auto second = starts.start();
    EXPECT_EQ(second->window.currentPageName(), "monitor");
    EXPECT_EQ(second->session.feed().path(), run);
    EXPECT_EQ(second->session.filePath(), project);
    second->window.showPage("design");
    second->window.close();
  }
  EXPECT_EQ(starts.start()->window.currentPageName(), "design");
}

TEST(WindowLayout, AProjectThatIsGoneIsSaidAndStartIsShown) {
  Starts starts;
  const QString project = starts.project("p.yaml");
  {
    const auto first = starts.start();
    ASSERT_TRUE(first->window.openArgument(project));
    first->window.close();
  }
  ASSERT_TRUE(QFile::remove(project));
  const auto second = starts.start();
  EXPECT_EQ(second->window.currentPageName(), "start");
  EXPECT_TRUE(second->window.banner()->message().contains("there is no such file"))
      << ss(second->window.banner()->message());
}

TEST(WindowLayout, ARunThatIsGoneLeavesStart) {
  Starts starts;
  const QString run = qs(test::makeRun(ss(starts.folder.path()), {.steps = 3}));
  {
    const auto first = starts.start();
    ASSERT_TRUE(first->window.openArgument(run));
    first->window.close();
  }
  ASSERT_TRUE(QDir(run).removeRecursively());
  const auto second = starts.start();
  EXPECT_EQ(second->window.currentPageName(), "start");
  EXPECT_TRUE(second->session.feed().path().isEmpty());
}

// A crash has no closeEvent.
TEST(WindowLayout, ChangesAreKeptAWhileAfterTheyWereMade) {
  Starts starts;
  const auto first = starts.start();
  ASSERT_TRUE(first->window.openArgument(starts.project("p.yaml")));
  first->action("Explain")->setChecked(true);
  EXPECT_TRUE(test::waitFor([&] {
    return Settings(starts.folder.filePath("s.ini")).layout().openDocks.contains("explain");
  }));
}

TEST(WindowLayout, ResetGoesBackToHowItWasMade) {
  Starts starts;
  const auto one = starts.start();
  ASSERT_TRUE(one->window.openArgument(starts.project("p.yaml")));
  QCoreApplication::processEvents();
  QSplitter* columns = one->splitter("design", "columns");
  const QList<int> made = columns->sizes();
  columns->setSizes({600, columns->width() - 600});
  EXPECT_NE(columns->sizes(), made);
  one->action("YAML")->setChecked(true);
  one->window.addDockWidget(Qt::LeftDockWidgetArea, one->dock("yaml"));
  one->window.resize(1600, 1000);
  one->action("Reset layout")->trigger();
  QCoreApplication::processEvents();
  EXPECT_EQ(one->window.size(), QSize(1366, 768));
  EXPECT_FALSE(one->dock("yaml")->isVisible());
  EXPECT_EQ(one->window.dockWidgetArea(one->dock("yaml")), Qt::RightDockWidgetArea);
  EXPECT_NEAR(columns->sizes()[0], made[0], 2);
}

TEST(WindowLayout, RubbishInTheSettingsIsTheDefault) {
  Starts starts;
  {
    Settings settings(starts.folder.filePath("s.ini"));
    settings.setLayout({.geometry = "rubbish",
                        .docks = "rubbish",
                        .openDocks = {"no such dock"},
                        .splitters = {{"design/columns", "rubbish"}},
                        .page = "nowhere",
                        .project = {},
                        .run = {}});
  }
  const auto one = starts.start();
  EXPECT_EQ(one->window.size(), QSize(1366, 768));
  EXPECT_EQ(one->window.currentPageName(), "start");
  ASSERT_TRUE(one->window.openArgument(starts.project("p.yaml")));
  EXPECT_GT(one->splitter("design", "columns")->sizes()[0], 100);
}

TEST(WindowLayout, ALookSavesNothing) {
  const QTemporaryDir folder;
  Settings settings(folder.filePath("s.ini"));
  Session session(settings);
  session.setOnlyLooking();
  MainWindow window(session);
  window.show();
  window.saveLayout();
  window.close();
  EXPECT_EQ(settings.layout(), WindowLayout());
}

}  // namespace
}  // namespace tera::gui
