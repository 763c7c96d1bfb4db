// Every page in every state fits windows of 1024x640 and 1920x1080, with docks open too. Run a
// second time with QT_SCALE_FACTOR=1.5 (CMakeLists.txt).
#include <QAction>
#include <QDockWidget>
#include <QGuiApplication>
#include <QLabel>
#include <QListWidget>
#include <QPushButton>
#include <QScreen>
#include <QScrollArea>

#include "gui/pages/design_page.h"
#include "gui/pages/monitor_page.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/chart_view.h"
#include "gui/widgets/section_button.h"
#include "tests/gui/find_widget.h"
#include "tests/gui/layout_audit.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

constexpr QSize kSizes[] = {{MainWindow::kMinWidth, MainWindow::kMinHeight}, {1920, 1080}};

std::string audit(Window& w) {
  QApplication::processEvents();  // layout requests of the last change
  QApplication::processEvents();  // and those that they posted
  return ss(test::auditLayout(w.window).join("\n"));
}

// Audits all pages at all sizes.
void expectFits(Window& w, const std::string& what) {
  for (const QSize& size : kSizes) {
    w.window.resize(size);
    for (const QString& page : MainWindow::pageNames()) {
      w.window.showPage(page);
      ASSERT_TRUE(w.ready()) << what << ": " << ss(page);
      ASSERT_EQ(w.window.size(), size);
      EXPECT_EQ(audit(w), "") << what << ": " << ss(page) << " at " << size.width();
    }
  }
}

void showDock(Window& w, const char* name) {
  for (QAction* action : w.window.actions()) {
    if (action->text().remove('&').startsWith(QString(name))) action->setChecked(true);
  }
}

// The audit itself must see what it is for.
TEST(LayoutAudit, FindsACutLabelAnOverlapAndWhatIsHidden) {
  QWidget root;
  root.resize(300, 200);
  auto* parent = new QWidget(&root);
  parent->resize(300, 200);
  auto* label = new QLabel("a text that needs much more room than this", parent);
  label->setGeometry(0, 0, 60, 20);
  auto* button = new QPushButton("Overlapping", parent);
  button->setGeometry(30, 10, 200, 40);
  auto* outside = new QPushButton("Outside", parent);
  outside->setGeometry(250, 100, 200, 40);
  auto* area = new QScrollArea(parent);
  area->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  area->setGeometry(0, 150, 100, 40);
  auto* wide = new QWidget;
  wide->setFixedSize(200, 20);
  area->setWidget(wide);
  root.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&root));
  const QString found = test::auditLayout(root).join("\n");
  EXPECT_TRUE(found.contains("less room than its text needs")) << ss(found);
  EXPECT_TRUE(found.contains("overlaps QPushButton \"Overlapping\"")) << ss(found);
  EXPECT_TRUE(found.contains("hides the right of what it scrolls")) << ss(found);
  EXPECT_TRUE(found.contains("\"Outside\" stands outside its QWidget")) << ss(found);
}

TEST(Layout, PagesWithoutAProjectFit) {
  Window w;
  expectFits(w, "no project");
}

TEST(Layout, PagesWithAToyAndItsRunFit) {
  Window w;
  w.open(kToy);
  w.session.attachRun(qs(test::makeRun(
      ss(w.folder.path()), {.hotExpert = 3, .deadExpert = 5, .spikeStep = 90, .ends = false})));
  expectFits(w, "toy");
}

TEST(Layout, PagesWithATrillionParametersFit) {
  Window w;
  w.open(
      "name: large\nmodel: {preset: moe-1t}\ncluster: {preset: h100-ib, num_nodes: 2048}\n"
      "layout: {tensor_parallel_size: 4, data_parallel_size: 128, pipeline_parallel_size: 32,"
      " expert_parallel_size: 64}\n");
  w.session.attachRun(
      qs(test::makeRun(ss(w.folder.path()), {.steps = 12, .layers = 60, .experts = 256})));
  expectFits(w, "large");
}

TEST(Layout, PagesOfASpecThatDoesNotFitTheMachineFit) {
  Window w;
  w.open("name: over\nmodel: {preset: moe-1t}\ncluster: {preset: this-machine}\n");
  expectFits(w, "over capacity");
}

TEST(Layout, PagesOfAFileThatNeverCouldBeReadFit) {
  Window w;
  w.open("model: {preset: tiny-moe, num_expert: 4}\n");
  expectFits(w, "never good");
}

TEST(Layout, PagesOfTextThatBrokeWhileTypingFit) {
  Window w;
  w.open(kToy);
  w.session.document().setText(QString(kToy) + "training: {num_steps: many, seq_length: [}\n");
  expectFits(w, "broken");
}

TEST(Layout, EveryFieldWithAMessageFits) {
  Window w;
  w.open(QString(kToy) +
         "training:\n  global_batch_size: 7\n  seq_length: 3\nlayout:\n"
         "  tensor_parallel_size: 3\n  expert_parallel_size: 5\n");
  ASSERT_GT(w.session.document().diagnostics().size(), 1U);
  expectFits(w, "problems");
}

TEST(Layout, EveryFieldOfTheOpenSectionsFits) {
  Window w;
  w.open(QString(kToy).replace("this-machine", "b200-nvl72"));
  auto* design = w.page<DesignPage>("design");
  for (auto* section : design->findChildren<SectionButton*>())
    section->setChecked(true);
  for (const QSize& size : kSizes) {
    w.window.resize(size);
    for (const char* field : {"model.num_layers", "training.num_steps", "cluster.num_nodes"}) {
      ASSERT_TRUE(design->focusField(field));
      EXPECT_EQ(audit(w), "") << field << " at " << size.width();
    }
  }
}

TEST(Layout, OpenDocksMakeThePageScrollInsteadOfSqueezingIt) {
  Window w;
  w.open(kToy);
  for (const char* dock : {"YAML", "Problems", "Explain"})
    showDock(w, dock);
  ASSERT_TRUE(w.window.findChild<QDockWidget*>("yaml")->isVisible());
  expectFits(w, "docks");
}

TEST(Layout, LongNamesAndMessagesAreElidedOrWrapped) {
  Window w;
  const QString folder = w.folder.filePath(QString("a-long-folder-name/").repeated(9));
  ASSERT_TRUE(QDir().mkpath(folder));
  QFile file(folder + "project-with-a-name.yaml");
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(QString(kToy).toUtf8());
  file.close();
  ASSERT_TRUE(w.window.openArgument(file.fileName()));
  w.window.banner()->show(QString("a message of many words ").repeated(30), true, "Do it", [] {});
  expectFits(w, "long names");
}

TEST(Layout, ARunThatCannotBeReadFits) {
  Window w;
  w.session.attachRun(w.folder.filePath("gone"));
  expectFits(w, "unreadable run");
}

TEST(Layout, ChartsAsTablesFit) {
  Window w;
  const QString run = qs(test::makeRun(ss(w.folder.path()), {}));
  ASSERT_TRUE(w.window.openArgument(run));
  ASSERT_TRUE(w.ready());
  for (ChartView* chart : qobject_cast<MonitorPage*>(w.window.currentPage())->charts())
    chart->showTable(true);
  for (const QSize& size : kSizes) {
    w.window.resize(size);
    EXPECT_EQ(audit(w), "") << size.width();
  }
}

TEST(Layout, TheRailShowsWordsWhereThereIsRoom) {
  Window w;
  auto* rail = test::called<QListWidget>(w.window, "Pages");
  ASSERT_NE(rail, nullptr);
  w.window.resize(MainWindow::kWideRail, 700);
  EXPECT_EQ(rail->item(1)->text(), "Design");
  w.window.resize(MainWindow::kWideRail - 1, 700);
  EXPECT_EQ(rail->item(1)->text(), "");
  EXPECT_TRUE(rail->item(1)->toolTip().startsWith("Design"));
}

}  // namespace
}  // namespace tera::gui
