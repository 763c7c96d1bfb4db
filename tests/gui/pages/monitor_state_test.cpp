// State by evidence: the lock of a living process, the age of the last record, the last event.
#include <QLabel>
#include <QTabWidget>

#include "gui/pages/monitor_page.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/records_panel.h"
#include "tests/gui/find_widget.h"
#include "tests/gui/pages/monitor_fixture.h"

namespace tera::gui {
namespace {

using test::Monitor;

TEST(MonitorState, ALivingRunIsRunning) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 20, .ends = false}));
  const auto lock = run::RunLock::acquire(m.dir(), 1);
  ASSERT_TRUE(lock);
  m.show();
  EXPECT_EQ(m.page->stateText(), "● running");
  EXPECT_TRUE(m.w.session.runIsAlive());
  EXPECT_TRUE(m.w.window.windowTitle().contains("step 20 of 20")) << ss(m.w.window.windowTitle());
}

TEST(MonitorState, ALivingRunWithoutNewsIsStaleNotDead) {
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

TEST(MonitorState, ARunWhoseProcessIsGoneHasDied) {
  Monitor m;
  m.open({.steps = 20, .ends = false});
  EXPECT_EQ(m.page->stateText(), "■ died");
  EXPECT_FALSE(m.w.session.runIsAlive());
  EXPECT_TRUE(m.attends("gone"));
}

TEST(MonitorState, TheEndOfARunThatWasAliveHereIsToldOnce) {
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

TEST(MonitorState, AFailureBringsTheLogToTheFront) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 5, .ends = false}));
  test::appendLog(m.path, 1, "cannot read train.bin\n");
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

TEST(MonitorState, ARunThatCannotBeReadSaysWhyAndComesBack) {
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

TEST(MonitorState, BeforeTheFirstRecordItWaits) {
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

TEST(MonitorState, StopIsOnlyForALivingRun) {
  Monitor m;
  m.open({.steps = 5});
  QAbstractButton* stop = test::buttonSaying(*m.page, "Stop");
  ASSERT_NE(stop, nullptr);
  EXPECT_FALSE(stop->isEnabled());
  m.page->stopRun();
  EXPECT_EQ(m.page->stateText(), "✓ completed");
}

}  // namespace
}  // namespace tera::gui
