#include "gui/pages/monitor_page.h"

#include <QChart>
#include <QComboBox>
#include <QFile>
#include <QLabel>
#include <QPushButton>
#include <QTabWidget>
#include <QTableView>
#include <QValueAxis>

#include "gui/models/diagnostic_model.h"
#include "gui/models/log_model.h"
#include "gui/widgets/chart_view.h"
#include "gui/widgets/records_panel.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::SyntheticRun;
using test::Window;

struct Monitor {
  Monitor() { page = w.page<MonitorPage>("monitor"); }
  // Makes a run and shows it.
  QString open(const SyntheticRun& wanted) {
    path = qs(test::makeRun(ss(w.folder.path()), wanted));
    show();
    return path;
  }
  void show() {
    const Result<void> opened = w.window.openArgument(path);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    EXPECT_TRUE(w.ready());
  }
  run::RunDirectory dir() const { return run::RunDirectory::open(posix_vfs(), ss(path)).value(); }
  bool attends(const std::string& words) const {
    for (const Diagnostic& found : page->attentionModel().rows())
      if (found.message.find(words) != std::string::npos) return true;
    return false;
  }
  QComboBox* box(const QString& name) const {
    for (auto* one : page->findChildren<QComboBox*>())
      if (one->accessibleName() == name) return one;
    return nullptr;
  }
  Window w;
  MonitorPage* page;
  QString path;
};

void writeLog(const run::RunDirectory& dir, int attempt, const QByteArray& text) {
  const std::filesystem::path path = dir.log_file(attempt, 0);
  std::filesystem::create_directories(path.parent_path());
  QFile file(qs(path.string()));
  ASSERT_TRUE(file.open(QIODevice::Append));
  file.write(text);
}

TEST(Monitor, WithoutARunItLeadsToLaunchAndStart) {
  Monitor m;
  EXPECT_TRUE(m.page->isReady());
  QStringList seen;
  for (auto* button : m.page->findChildren<QPushButton*>())
    if (button->isVisible()) seen << button->text();
  EXPECT_EQ(seen, (QStringList{"Launch", "Choose a run"}));
  for (auto* button : m.page->findChildren<QPushButton*>())
    if (button->text() == "Choose a run") button->click();
  EXPECT_EQ(m.w.window.currentPageName(), "start");
}

TEST(Monitor, AnOldRunIsShownWhole) {
  Monitor m;
  m.open({.hotExpert = 3, .deadExpert = 5, .spikeStep = 90});
  EXPECT_EQ(m.page->stateText(), "✓ completed");
  EXPECT_EQ(m.page->lossModel().raw(0).size(), 120);
  EXPECT_EQ(m.page->lossModel().raw(1).size(), 3);
  EXPECT_EQ(m.page->expertModel().numExperts(), 8);
  EXPECT_GT(m.page->expertModel().ratio(0, 3), 3);
  EXPECT_EQ(m.page->expertModel().ratio(0, 5), 0);
  EXPECT_TRUE(m.attends("spike at step 90"));
}

// Beside the model: what the chart draws has the spike too, at every zoom.
TEST(Monitor, TheSpikeIsInTheDrawnLine) {
  Monitor m;
  m.open({.steps = 4000, .layers = 0, .spikeStep = 2345});
  PlotView& plot = m.page->charts()[0]->plot();
  const double spike = m.page->lossModel().raw(0).y(2344);
  for (int level = 0; level < 8; ++level) {
    plot.refreshNow();
    double highest = 0;
    for (const QPointF& point : plot.rawSeries(0).points())
      highest = std::max(highest, point.y());
    EXPECT_GE(highest, spike) << level;
    plot.zoomX(0.5, 2345);
  }
}

TEST(Monitor, FollowsNewRecordsAndAResume) {
  Monitor m;
  m.open({.steps = 20, .ends = false});
  EXPECT_EQ(m.page->lossModel().raw(0).size(), 20);
  run::MetricWriter writer = run::MetricWriter::open(posix_vfs(), m.dir().metrics_file(2)).value();
  for (int step = 16; step <= 30; ++step) {  // resumed from a checkpoint at step 15
    run::MetricRecord record;
    record.attempt = 2;
    record.step = step;
    record.time_s = 2e9 + step;
    record.values = {{"loss", 1.0}};
    ASSERT_TRUE(writer.write(record));
  }
  ASSERT_TRUE(test::waitFor([&] { return m.page->lossModel().raw(0).size() == 30; }));
  EXPECT_EQ(m.page->lossModel().raw(0).y(15), 1.0);
}

TEST(Monitor, AttachingToAnotherRunStartsAfresh) {
  Monitor m;
  m.open({.spikeStep = 90});
  EXPECT_TRUE(m.attends("spike"));
  m.open({.steps = 10, .layers = 0});
  EXPECT_EQ(m.page->lossModel().raw(0).size(), 10);
  EXPECT_EQ(m.page->expertModel().numLayers(), 0);
  EXPECT_FALSE(m.attends("spike"));
}

// State by evidence: the lock of a living process, the age of the last record, the last event.
TEST(Monitor, ALivingRunIsRunning) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 20, .ends = false}));
  const auto lock = run::RunLock::acquire(m.dir(), 1);
  ASSERT_TRUE(lock);
  m.show();
  EXPECT_EQ(m.page->stateText(), "● running");
  EXPECT_TRUE(m.w.session.runIsAlive());
  EXPECT_TRUE(m.w.window.windowTitle().contains("step 20 of 20")) << ss(m.w.window.windowTitle());
}

TEST(Monitor, ALivingRunWithoutNewsIsStaleNotDead) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 20, .ends = false, .ageS = 200}));
  const auto lock = run::RunLock::acquire(m.dir(), 1);
  ASSERT_TRUE(lock);
  m.show();
  EXPECT_TRUE(m.page->stateText().startsWith("▲ no record for 3 min")) << ss(m.page->stateText());
  EXPECT_TRUE(m.attends("no record for"));
  // A record comes: it runs again.
  run::MetricWriter writer = run::MetricWriter::open(posix_vfs(), m.dir().metrics_file(1)).value();
  run::MetricRecord record;
  record.step = 21;
  record.time_s = static_cast<double>(QDateTime::currentSecsSinceEpoch());
  record.values = {{"loss", 4.0}};
  ASSERT_TRUE(writer.write(record));
  EXPECT_TRUE(test::waitFor([&] { return m.page->stateText() == "● running"; }));
}

TEST(Monitor, ARunWhoseProcessIsGoneHasDied) {
  Monitor m;
  m.open({.steps = 20, .ends = false});
  EXPECT_EQ(m.page->stateText(), "■ died");
  EXPECT_FALSE(m.w.session.runIsAlive());
  EXPECT_TRUE(m.attends("gone"));
}

TEST(Monitor, TheEndOfARunThatWasAliveHereIsToldOnce) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 20, .ends = false}));
  auto lock = std::make_unique<run::RunLock>(run::RunLock::acquire(m.dir(), 1).value());
  m.show();
  EXPECT_EQ(m.page->banner()->message(), "");
  ASSERT_TRUE(run::append_event(
      m.dir(), {.time_s = 1, .attempt = 1, .state = "completed", .detail = "done", .step = 20}));
  lock.reset();
  ASSERT_TRUE(test::waitFor([&] { return m.page->stateText() == "✓ completed"; }));
  const QString told = m.page->banner()->message();
  EXPECT_TRUE(told.contains("Done: loss")) << ss(told);
  EXPECT_TRUE(told.contains(QString::number(m.page->lossModel().raw(0).y(0), 'f', 2))) << ss(told);
  m.page->banner()->hide();
  for (int i = 0; i < 3; ++i)
    m.w.session.feed().pollNow();
  QCoreApplication::processEvents();
  EXPECT_EQ(m.page->banner()->message(), "");
}

TEST(Monitor, AFailureBringsTheLogToTheFront) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 5, .ends = false}));
  writeLog(m.dir(), 1, "cannot read train.bin\n");
  auto lock = std::make_unique<run::RunLock>(run::RunLock::acquire(m.dir(), 1).value());
  m.show();
  ASSERT_TRUE(run::append_event(m.dir(), {.time_s = 1,
                                          .attempt = 1,
                                          .state = "failed",
                                          .detail = "cannot read train.bin",
                                          .step = 5}));
  lock.reset();
  ASSERT_TRUE(test::waitFor([&] { return m.page->stateText() == "■ failed"; }));
  EXPECT_TRUE(m.page->banner()->message().contains("cannot read train.bin"));
  auto* records = m.page->findChild<RecordsPanel*>();
  EXPECT_EQ(records->tabText(records->currentIndex()), "Log");
}

TEST(Monitor, ARunThatCannotBeReadSaysWhyAndComesBack) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 5}));
  const QString hidden = m.path + ".away";
  ASSERT_TRUE(QDir().rename(m.path, hidden));
  m.w.session.attachRun(m.path);
  ASSERT_TRUE(m.w.ready()) << "there is something to show: why not";
  EXPECT_EQ(m.page->stateText(), "■ cannot be read");
  EXPECT_FALSE(m.page->banner()->message().isEmpty());
  ASSERT_TRUE(QDir().rename(hidden, m.path));
  ASSERT_TRUE(test::waitFor([&] { return m.page->stateText() == "✓ completed"; }));
  EXPECT_EQ(m.page->banner()->message(), "");
}

TEST(Monitor, BeforeTheFirstRecordItWaits) {
  Monitor m;
  m.path = qs(run::RunDirectory::create(posix_vfs(), ss(m.w.folder.path()),
                                        test::specOf("tiny-moe", "fresh"))
                  .value()
                  .path()
                  .string());
  m.show();
  EXPECT_EQ(m.page->stateText(), "○ created");
  bool waits = false;
  for (const auto* label : m.page->findChildren<QLabel*>())
    waits =
        waits || (label->isVisible() && label->text().startsWith("Waiting for the first record"));
  EXPECT_TRUE(waits);
  EXPECT_FALSE(m.w.window.grab().isNull());
}

TEST(Monitor, TheSpeedChartShowsThePlan) {
  Monitor m;
  m.open({.steps = 30});
  const double planned = m.w.session.feed().planned();
  ASSERT_GT(planned, 0);
  PlotView& plot = m.page->charts()[2]->plot();
  plot.refreshNow();
  const auto* axis = qobject_cast<QValueAxis*>(plot.chart()->axes(Qt::Vertical).front());
  const double scale = axis->labelFormat().endsWith(" k")   ? 1e3
                       : axis->labelFormat().endsWith(" M") ? 1e6
                                                            : 1;
  EXPECT_LE(axis->min() * scale, planned);
  EXPECT_GE(axis->max() * scale, planned) << "the run at 2 ktok/s and its plan are both in view";
}

TEST(Monitor, ChoicesOfAxisAndAverageReachEveryChart) {
  Monitor m;
  m.open({.steps = 60});
  m.box("Horizontal axis")->setCurrentIndex(1);
  EXPECT_EQ(m.page->lossModel().xAxis(), XAxis::Tokens);
  EXPECT_DOUBLE_EQ(m.page->lossModel().xRange().second, 2048.0 * 60);
  m.box("Smoothing")->setCurrentIndex(3);
  EXPECT_EQ(m.page->lossModel().smoothing(), 0);
  m.page->charts()[1]->plot().setFocus();
  QTest::keyClick(&m.page->charts()[1]->plot(), Qt::Key_E);
  EXPECT_EQ(m.box("Smoothing")->currentIndex(), 0) << "E goes round";
  EXPECT_EQ(m.page->lossModel().smoothing(), 0.95);
  for (ChartView* chart : m.page->charts()) {
    chart->plot().refreshNow();
    const auto series = chart->plot().chart()->series();
    bool average = false;
    for (auto* one : series)
      average = average || (static_cast<QLineSeries*>(one) != &chart->plot().rawSeries(0) &&
                            static_cast<QLineSeries*>(one)->count() >= 60);
    EXPECT_TRUE(average);
  }
}

TEST(Monitor, TheLogIsShownAndFollowed) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 5, .ends = false}));
  writeLog(m.dir(), 1, "first line\nsecond");
  m.show();
  ASSERT_EQ(m.page->logModel().rowCount(), 1);
  EXPECT_EQ(m.page->logModel().row(0), "first line");
  QByteArray many = " line\n";
  for (int i = 0; i < 300; ++i)
    many += "line " + QByteArray::number(i) + "\n";
  m.page->findChild<RecordsPanel*>()->showLog();
  writeLog(m.dir(), 1, many);
  ASSERT_TRUE(test::waitFor([&] { return m.page->logModel().rowCount() == 302; }));
  EXPECT_EQ(m.page->logModel().row(1), "second line");
  QTableView* table = nullptr;
  for (auto* one : m.page->findChildren<QTableView*>())
    if (one->accessibleName() == "Log") table = one;
  EXPECT_EQ(table->rowAt(table->viewport()->height() - 1), 301) << "the newest line is in view";
}

TEST(Monitor, CheckpointsAreEventsAndMarks) {
  Monitor m;
  m.open({.steps = 120});
  const EventModel& events = m.page->findChild<RecordsPanel*>()->events();
  QStringList checkpoints;
  for (const run::RunEvent& event : events.rows())
    if (event.state == "checkpoint") checkpoints << QString::number(event.step);
  EXPECT_EQ(checkpoints, (QStringList{"50", "100"}));
}

TEST(Monitor, StopIsOnlyForALivingRun) {
  Monitor m;
  m.open({.steps = 5});
  QPushButton* stop = nullptr;
  for (auto* button : m.page->findChildren<QPushButton*>())
    if (button->text() == "Stop") stop = button;
  ASSERT_NE(stop, nullptr);
  EXPECT_FALSE(stop->isEnabled());
  m.page->stopRun();
  EXPECT_EQ(m.page->stateText(), "✓ completed");
}

}  // namespace
}  // namespace tera::gui
