// Whole windows offscreen: every page with a toy, a very large and a broken spec, launching through
// a stand-in for the command line, old and live runs, and the walk over everything that can be
// focused.
#include <QAccessible>
#include <QFile>
#include <QLineEdit>
#include <QListWidget>
#include <QMessageBox>
#include <QPushButton>
#include <QSignalSpy>
#include <QStandardPaths>
#include <QTabWidget>
#include <QTableView>

#include "core/base/resources.h"
#include "gui/about.h"
#include "gui/journal.h"
#include "gui/models/run_facts.h"
#include "gui/pages/design_page.h"
#include "gui/pages/launch_page.h"
#include "gui/pages/monitor_page.h"
#include "gui/pages/start_page.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/docks.h"
#include "gui/widgets/estimate_strip.h"
#include "gui/widgets/yaml_editor.h"
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

// Everything focusable below `root` that has no name for a screen reader.
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

TEST(Pages, EveryPageOpensWithEverySpec) {
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

// A file that was broken from the start has no numbers, and the page says where it is broken, also
// when it is made after the file was read.
TEST(Pages, DesignSaysWhatIsBrokenInAFileThatNeverWasGood) {
  Window w;
  w.open("model: {preset: tiny-moe, num_expert: 4}\n");
  w.window.showPage("design");
  ASSERT_TRUE(w.ready());
  const auto* page = w.window.findChild<DesignPage*>();
  ASSERT_NE(page, nullptr);
  EXPECT_TRUE(page->findChild<Banner*>()->message().contains("model.num_expert: unknown key"))
      << page->findChild<Banner*>()->message().toStdString();
  EXPECT_EQ(w.session.estimate(), nullptr);
  EXPECT_EQ(w.session.estimateProblem().toStdString(), "The YAML text has errors.");
  w.session.document().setText(kToy);
  EXPECT_TRUE(page->findChild<Banner*>()->message().isEmpty());
}

TEST(Pages, EveryFocusableWidgetHasAName) {
  for (const bool large : {false, true}) {
    Window w;
    w.open(large ? runText("moe-1t") : QString(kToy));
    w.session.attachRun(qs(test::makeRun(ss(w.folder.path()), {})));
    for (const QString& name : MainWindow::pageNames()) {
      w.window.showPage(name);
      ASSERT_TRUE(w.ready());
      QStringList found;
      unnamed(QAccessible::queryAccessibleInterface(&w.window), found);
      EXPECT_TRUE(found.isEmpty()) << name.toStdString() << ": " << found.join("; ").toStdString();
    }
  }
}

TEST(Pages, TabReachesEveryControlOfDesign) {
  Window w;
  w.open(kToy);
  QWidget* first = QApplication::focusWidget();
  ASSERT_NE(first, nullptr);
  QSet<QWidget*> reached;
  for (int i = 0; i < 200; ++i) {
    QTest::keyClick(QApplication::focusWidget(), Qt::Key_Tab);
    reached.insert(QApplication::focusWidget());
    if (QApplication::focusWidget() == first) break;
  }
  auto* design = qobject_cast<DesignPage*>(w.window.currentPage());
  for (const char* path : {"model.num_layers", "model.hidden_size", "model.router_top_k"})
    EXPECT_TRUE(reached.contains(design->form(path)->editor(path))) << path;
  for (EstimateTileButton* tile : w.window.strip()->tiles())
    EXPECT_TRUE(reached.contains(tile));
}

TEST(Pages, SmallestWindowFits) {
  Window w;
  w.open(runText("moe-1t"));
  w.session.attachRun(qs(test::makeRun(ss(w.folder.path()), {})));
  w.window.resize(MainWindow::kMinWidth, MainWindow::kMinHeight);
  for (const QString& name : MainWindow::pageNames()) {
    w.window.showPage(name);
    ASSERT_TRUE(w.ready());
    EXPECT_EQ(w.window.size(), QSize(MainWindow::kMinWidth, MainWindow::kMinHeight))
        << name.toStdString();
    EXPECT_LE(w.window.minimumSizeHint().width(), MainWindow::kMinWidth) << name.toStdString();
    EXPECT_LE(w.window.minimumSizeHint().height(), MainWindow::kMinHeight) << name.toStdString();
  }
}

TEST(Design, EstimateFollowsTypingWithADelta) {
  Window w;
  w.open(kToy);
  ASSERT_NE(w.session.estimate(), nullptr);
  const double before = w.session.estimate()->worst_bytes;
  ASSERT_TRUE(w.session.document().setField("model.num_experts", "32"));
  ASSERT_TRUE(
      test::waitFor([&] { return !w.session.estimateBusy() && w.session.estimate() != nullptr; }));
  EXPECT_GT(w.session.estimate()->worst_bytes, before);
  EXPECT_TRUE(w.window.strip()->tiles()[1]->tile().delta.startsWith("+"));
  w.session.pinBaseline();
  EXPECT_TRUE(w.window.strip()->tiles()[1]->tile().delta.isEmpty());
}

TEST(Design, BrokenYamlKeepsTheLastEstimateAndSaysWhere) {
  Window w;
  w.open(kToy);
  w.session.document().setText(
      QString(kToy).replace("  preset: tiny-moe", "  preset: tiny-moe\n  num_layers: many"));
  auto* design = qobject_cast<DesignPage*>(w.window.currentPage());
  EXPECT_TRUE(design->banner()->message().contains("line 4"))
      << design->banner()->message().toStdString();
  EXPECT_EQ(w.window.problems()->model().count(Severity::error), 1);
  EXPECT_NE(w.session.estimate(), nullptr);
  w.session.document().undoStack()->undo();
  EXPECT_TRUE(design->banner()->message().isEmpty());
}

TEST(Design, ProblemsLeadToTheirField) {
  Window w;
  w.open(kToy);
  ASSERT_TRUE(w.session.document().setField("model.router_top_k", "60"));
  ASSERT_GT(w.window.problems()->model().count(Severity::error), 0);
  w.window.problems()->step(1);
  auto* design = qobject_cast<DesignPage*>(w.window.currentPage());
  const std::string field = w.window.problems()->model().row(0).field;
  ASSERT_NE(design->form(field), nullptr) << field;
  EXPECT_EQ(QApplication::focusWidget(), design->form(field)->editor(field));
}

TEST(Session, SavesAtomicallyAndKeepsComments) {
  Window w;
  w.open(QString("# mine\n") + kToy);
  ASSERT_TRUE(w.session.document().setField("training.num_steps", "77"));
  EXPECT_TRUE(w.session.isDirty());
  ASSERT_TRUE(w.session.save());
  EXPECT_FALSE(w.session.isDirty());
  QFile file(w.session.filePath());
  ASSERT_TRUE(file.open(QIODevice::ReadOnly));
  const QString text = QString::fromUtf8(file.readAll());
  EXPECT_TRUE(text.startsWith("# mine\n"));
  EXPECT_TRUE(text.contains("num_steps: 77"));
}

TEST(Session, ACrashLosesNothing) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  QFile file(path);
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(kToy);
  file.close();
  Settings settings(folder.filePath("s.ini"));
  {
    Session session(settings);
    ASSERT_TRUE(session.openFile(path));
    ASSERT_TRUE(session.document().setField("training.num_steps", "77"));
    ASSERT_TRUE(test::waitFor([&] { return QFile::exists(Journal::journalPath(path)); }, 2000));
  }  // gone without saving
  Session session(settings);
  const QSignalSpy recovered(&session, &Session::recovered);
  ASSERT_TRUE(session.openFile(path));
  EXPECT_EQ(recovered.count(), 1);
  EXPECT_EQ(session.document().spec().training.num_steps, 77);
  EXPECT_TRUE(session.isDirty());
  session.document().undoStack()->undo();
  EXPECT_EQ(session.document().text(), QString(kToy));
  ASSERT_TRUE(
      test::waitFor([&] { return !QFile::exists(Journal::journalPath(path)); }));  // clean again
}

// The undo stack of a project with edits calls itself clean when it is taken down.
TEST(Session, TheEndOfASessionIsNotASave) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  QFile file(path);
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(kToy);
  file.close();
  Settings settings(folder.filePath("s.ini"));
  int changes = 0;
  {
    Session session(settings);
    ASSERT_TRUE(session.openFile(path));
    ASSERT_TRUE(session.document().setField("training.num_steps", "77"));
    QObject::connect(&session, &Session::projectChanged, [&] { ++changes; });
  }
  EXPECT_EQ(changes, 0);
  Journal reader;
  EXPECT_TRUE(reader.open(path).value_or(QString()).contains("num_steps: 77"));
}

TEST(Session, ATornJournalLineIsPassedOver) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  QFile journal(Journal::journalPath(path));
  ASSERT_TRUE(journal.open(QIODevice::WriteOnly));
  journal.write("{\"text\":\"name: good\\n\",\"time_s\":1}\n{\"text\":\"name: to");
  journal.close();
  Journal reader;
  EXPECT_EQ(reader.open(path).value_or(QString()), QString("name: good\n"));
}

TEST(Session, TwoWindowsOnOneProjectSaySo) {
  const QTemporaryDir folder;
  Settings settings(folder.filePath("s.ini"));
  QFile file(folder.filePath("p.yaml"));
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(kToy);
  file.close();
  Session first(settings), second(settings);
  const QSignalSpy notices(&second, &Session::notice);
  ASSERT_TRUE(first.openFile(file.fileName()));
  ASSERT_TRUE(second.openFile(file.fileName()));
  EXPECT_EQ(notices.count(), 1);
}

TEST(Session, MissingFilesAreErrorsWithNames) {
  Window w;
  const Result<void> opened = w.window.openArgument("/no/such/file.yaml");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("/no/such/file.yaml"), std::string::npos);
  EXPECT_FALSE(w.session.newFromTemplate("no-such-model"));
}

TEST(Settings, RecentFilesAreUniqueAndBounded) {
  const QTemporaryDir folder;
  Settings settings(folder.filePath("s.ini"));
  for (int i = 0; i < 30; ++i)
    settings.addRecentFile(QString("f%1").arg(i % 15));
  EXPECT_EQ(settings.recentFiles().size(), Settings::kMaxRecent);
  EXPECT_EQ(settings.recentFiles().front(), "f14");
  EXPECT_TRUE(settings.firstTime("x"));
  EXPECT_FALSE(settings.firstTime("x"));
}

// A stand-in for the command line: answers `demo --prepare-only` as teragpt does.
QString fakeTeragpt(const QTemporaryDir& folder, const QString& body) {
  QFile file(folder.filePath("teragpt"));
  EXPECT_TRUE(file.open(QIODevice::WriteOnly));
  file.write("#!/bin/sh\n" + body.toUtf8());
  file.close();
  file.setPermissions(file.permissions() | QFileDevice::ExeOwner | QFileDevice::ExeUser);
  return file.fileName();
}

TEST(DemoProject, ReportsProgressAndTheSpec) {
  const QTemporaryDir folder;
  DemoProject demo;
  QStringList lines;
  QObject::connect(&demo, &DemoProject::progress, &demo,
                   [&](const QString& line) { lines << line; });
  const QSignalSpy ready(&demo, &DemoProject::ready);
  demo.prepare(fakeTeragpt(folder,
                           "echo 'text: 4 documents' >&2\necho "
                           "'{\"schema\":\"teragpt.demo/1\",\"spec\":\"/x/tiny-moe.yaml\"}'\n"),
               folder.filePath("out"));
  ASSERT_TRUE(test::waitFor([&] { return ready.count() == 1; }));
  EXPECT_EQ(ready.at(0).at(0).toString(), "/x/tiny-moe.yaml");
  EXPECT_EQ(lines, QStringList{"text: 4 documents"});
}

TEST(DemoProject, SaysWhyItFailedAndCanBeCancelled) {
  const QTemporaryDir folder;
  DemoProject demo;
  const QSignalSpy failed(&demo, &DemoProject::failed), cancelled(&demo, &DemoProject::cancelled);
  demo.prepare(fakeTeragpt(folder, "echo 'no text found' >&2\nexit 1\n"), folder.filePath("out"));
  ASSERT_TRUE(test::waitFor([&] { return failed.count() == 1; }));
  EXPECT_TRUE(failed.at(0).at(0).toString().contains("no text found"));
  demo.prepare(fakeTeragpt(folder, "exec sleep 30\n"), folder.filePath("out"));
  ASSERT_TRUE(test::waitFor([&] { return demo.busy(); }));
  demo.cancel();
  ASSERT_TRUE(test::waitFor([&] { return cancelled.count() == 1; }));
  EXPECT_EQ(failed.count(), 1);
}

TEST(Start, ListsTemplatesAndRunsAndFocusesTryIt) {
  Window w;
  auto* start = w.page<StartPage>("start");
  ASSERT_TRUE(w.ready());
  EXPECT_EQ(QApplication::focusWidget(), start->tryButton());
  test::makeRun(run::default_runs_root().string(), {});
  start->setInView(true);
  ASSERT_TRUE(test::waitFor([&] { return start->runs().rowCount() > 0; }));
  const auto buttons = start->findChildren<QPushButton*>();
  const auto moe1t = std::find_if(buttons.begin(), buttons.end(), [](const QPushButton* b) {
    return b->accessibleName().endsWith("moe-1t");
  });
  ASSERT_NE(moe1t, buttons.end());
  (*moe1t)->click();  // a trillion parameters planned with two clicks
  EXPECT_EQ(w.window.currentPageName(), "design");
  ASSERT_TRUE(w.ready());
  EXPECT_GT(w.session.estimate()->params.total, 1'000'000'000'000);
}

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

TEST(Monitor, EmptyStateThenAnOldRun) {
  Window w;
  auto* monitor = w.page<MonitorPage>("monitor");
  EXPECT_TRUE(monitor->isReady());
  const QString path =
      qs(test::makeRun(ss(w.folder.path()), {.hotExpert = 3, .deadExpert = 5, .spikeStep = 90}));
  ASSERT_TRUE(w.window.openArgument(path));
  ASSERT_TRUE(w.ready());
  EXPECT_EQ(monitor->stateText(), "✓ completed");
  EXPECT_EQ(monitor->lossModel().raw(0).size(), 120);
  EXPECT_EQ(monitor->lossModel().raw(1).size(), 3);
  EXPECT_EQ(monitor->expertModel().numExperts(), 8);
  EXPECT_GT(monitor->expertModel().ratio(0, 3), 3);
  EXPECT_EQ(monitor->expertModel().ratio(0, 5), 0);
  bool spike = false;
  for (const Diagnostic& found : monitor->attentionModel().rows())
    spike = spike || found.message.find("spike at step 90") != std::string::npos;
  EXPECT_TRUE(spike);
}

TEST(Monitor, FollowsNewRecordsAndAResume) {
  Window w;
  const QString path = qs(test::makeRun(ss(w.folder.path()), {.steps = 20, .ends = false}));
  ASSERT_TRUE(w.window.openArgument(path));
  auto* monitor = qobject_cast<MonitorPage*>(w.window.currentPage());
  ASSERT_TRUE(w.ready());
  EXPECT_EQ(monitor->lossModel().raw(0).size(), 20);
  const run::RunDirectory dir = run::RunDirectory::open(posix_vfs(), ss(path)).value();
  run::MetricWriter writer = run::MetricWriter::open(posix_vfs(), dir.metrics_file(2)).value();
  for (int step = 16; step <= 30; ++step) {  // resumed from a checkpoint at step 15
    run::MetricRecord record;
    record.attempt = 2;
    record.step = step;
    record.time_s = 2e9 + step;
    record.values = {{"loss", 1.0}};
    ASSERT_TRUE(writer.write(record));
  }
  ASSERT_TRUE(test::waitFor([&] { return monitor->lossModel().raw(0).size() == 30; }));
  EXPECT_EQ(monitor->lossModel().raw(0).y(15), 1.0);
}

TEST(Monitor, AttachingToAnotherRunStartsAfresh) {
  Window w;
  const QString first = qs(test::makeRun(ss(w.folder.path()), {}));
  const QString second = qs(test::makeRun(ss(w.folder.path()), {.steps = 10, .layers = 0}));
  ASSERT_TRUE(w.window.openArgument(first));
  ASSERT_TRUE(w.ready());
  ASSERT_TRUE(w.window.openArgument(second));
  ASSERT_TRUE(w.ready());
  auto* monitor = qobject_cast<MonitorPage*>(w.window.currentPage());
  EXPECT_EQ(monitor->lossModel().raw(0).size(), 10);
  EXPECT_EQ(monitor->expertModel().numLayers(), 0);
}

TEST(Monitor, FactsAreEvidence) {
  run::RunStatus status;
  status.alive = true;
  status.step = 50;
  status.num_steps = 200;
  status.last_loss = 4.25;
  status.created_s = 1000;
  status.last_record_s = 1100;
  const QString facts = runFacts(status, 1134);
  EXPECT_TRUE(facts.contains("step 50 of 200"));
  EXPECT_TRUE(facts.contains("loss 4.2500"));
  EXPECT_TRUE(facts.contains("record 34 s old"));
  EXPECT_TRUE(facts.contains("5 min")) << ss(facts);  // 150 steps of 2 s
  status.last_loss = std::nan("");
  EXPECT_FALSE(runFacts(status, 1134).contains("loss"));
}

TEST(Window, TitleCommandPaletteAndThemes) {
  Window w;
  w.open(kToy);
  EXPECT_TRUE(w.window.windowTitle().startsWith("project"));
  CommandPalette* palette = w.window.showPalette();
  palette->box()->setText(":router top k 4");
  QTest::keyClick(palette->box(), Qt::Key_Return);
  EXPECT_EQ(w.session.document().spec().model.router_top_k, 4);
  for (const ThemeChoice choice : {ThemeChoice::Light, ThemeChoice::Dark}) {
    applyTheme(choice);
    EXPECT_EQ(theme().dark, choice == ThemeChoice::Dark);
    EXPECT_FALSE(w.window.grab().isNull());
  }
}

TEST(Window, ClosingWithUnsavedEditsAsks) {
  Window w;
  w.open(kToy);
  ASSERT_TRUE(w.session.document().setField("training.num_steps", "77"));
  EXPECT_FALSE(w.window.close());
  auto* box = w.window.findChild<QMessageBox*>();
  ASSERT_NE(box, nullptr);
  box->button(QMessageBox::Save)->click();
  EXPECT_TRUE(test::waitFor([&] { return !w.window.isVisible(); }));
  EXPECT_FALSE(w.session.isDirty());
}

TEST(About, StatesTheLicences) {
  EXPECT_TRUE(aboutText().contains("Apache License 2.0"));
  EXPECT_TRUE(aboutText().contains("GNU General Public License, version 3"));
}

}  // namespace
}  // namespace tera::gui
