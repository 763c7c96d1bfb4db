#include "gui/run_feed.h"

#include <QFile>
#include <QSignalSpy>

#include "core/plan/estimate.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

using Update = std::shared_ptr<const RunUpdate>;

// A feed with everything it has delivered.
struct Listener {
  Listener() {
    QObject::connect(&feed, &RunFeed::updated, &feed,
                     [this](const Update& update) { updates.push_back(update); });
  }
  void attach(const QString& path) {
    updates.clear();
    feed.attach(path);
    EXPECT_TRUE(test::waitFor([this] { return !updates.empty() && feed.planIsKnown(); }));
  }
  Update look() {
    const std::size_t before = updates.size();
    EXPECT_TRUE(test::waitFor([&] {
      feed.pollNow();
      return updates.size() > before;
    }));
    return updates.back();
  }
  std::vector<Update> updates;
  RunFeed feed;
};

TEST(RunFeed, FirstLookBringsAllThenOnlyWhatIsNew) {
  const QTemporaryDir folder;
  const QString run = qs(test::makeRun(ss(folder.path()), {.steps = 30}));
  Listener listener;
  listener.attach(run);
  EXPECT_EQ(listener.updates.front()->records.size(), 30U);
  EXPECT_EQ(listener.updates.front()->events.size(), 3U);
  EXPECT_EQ(listener.feed.status().state, run::RunState::completed);
  EXPECT_TRUE(listener.look()->records.empty());
}

TEST(RunFeed, ThePlanIsTheEstimateOfTheRunsOwnSpec) {
  const QTemporaryDir folder;
  Listener listener;
  listener.attach(qs(test::makeRun(ss(folder.path()), {})));
  ASSERT_NE(listener.feed.spec(), nullptr);
  EXPECT_DOUBLE_EQ(listener.feed.planned(),
                   plan::estimate(*listener.feed.spec()).value().tokens_per_s);
  EXPECT_GT(listener.feed.planned(), 0);
}

TEST(RunFeed, ALineIsWholeOnlyWithItsEnd) {
  const QTemporaryDir folder;
  const QString run = qs(test::makeRun(ss(folder.path()), {.steps = 5}));
  test::appendLog(run, 1, "first\nsec");
  Listener listener;
  listener.attach(run);
  EXPECT_EQ(listener.updates.front()->logLines, QStringList{"first"});
  test::appendLog(run, 1, "ond\nthird\n");
  EXPECT_EQ(listener.look()->logLines, (QStringList{"second", "third"}));
}

TEST(RunFeed, AnotherAttemptHasALogOfItsOwn) {
  const QTemporaryDir folder;
  const QString run = qs(test::makeRun(ss(folder.path()), {.steps = 5}));
  test::appendLog(run, 1, "old\n");
  Listener listener;
  listener.attach(run);
  EXPECT_FALSE(listener.look()->logRestarted);
  test::appendLog(run, 2, "new\n");
  const Update update = listener.look();
  EXPECT_TRUE(update->logRestarted);
  EXPECT_EQ(update->logLines, QStringList{"new"});
}

// Of a long log only the end is read, and it begins with a whole line.
TEST(RunFeed, ALongLogStartsNearItsEnd) {
  const QTemporaryDir folder;
  const QString run = qs(test::makeRun(ss(folder.path()), {.steps = 5}));
  QByteArray text;
  for (int i = 0; i < 50'000; ++i)
    text += "line " + QByteArray::number(i) + "\n";
  ASSERT_GT(text.size(), 300 << 10);
  test::appendLog(run, 1, text);
  Listener listener;
  listener.attach(run);
  const QStringList lines = listener.updates.front()->logLines;
  ASSERT_FALSE(lines.isEmpty());
  EXPECT_LT(lines.size(), 50'000);
  EXPECT_TRUE(lines.front().startsWith("line "));
  EXPECT_EQ(lines.back(), "line 49999");
}

TEST(RunFeed, AResumeReplacesWhatItRepeats) {
  const QTemporaryDir folder;
  const QString path = qs(test::makeRun(ss(folder.path()), {.steps = 20, .ends = false}));
  Listener listener;
  listener.attach(path);
  const run::RunDirectory dir = run::RunDirectory::open(posix_vfs(), ss(path)).value();
  run::MetricWriter writer = run::MetricWriter::open(posix_vfs(), dir.metrics_file(2)).value();
  run::MetricRecord record;
  record.attempt = 2;
  record.step = 16;
  record.time_s = 1;
  record.values = {{"loss", 1.0}};
  ASSERT_TRUE(writer.write(record));
  const Update update = listener.look();
  EXPECT_EQ(update->replacedFromStep, 16);
  ASSERT_EQ(update->records.size(), 1U);
}

TEST(RunFeed, AnUnreadableRecordIsAProblemNotAnEnd) {
  const QTemporaryDir folder;
  const QString path = qs(test::makeRun(ss(folder.path()), {.steps = 5}));
  const run::RunDirectory dir = run::RunDirectory::open(posix_vfs(), ss(path)).value();
  QFile file(qs(dir.metrics_file(1).string()));
  ASSERT_TRUE(file.open(QIODevice::Append));
  file.write("{\"step\": no json\n");
  file.close();
  Listener listener;
  listener.attach(path);
  EXPECT_EQ(listener.updates.front()->records.size(), 5U);
  ASSERT_EQ(listener.updates.front()->problems.size(), 1U);
  EXPECT_NE(listener.updates.front()->problems.front().find(":6"), std::string::npos)
      << listener.updates.front()->problems.front();
}

TEST(RunFeed, ADirectoryThatIsNoRunSaysSo) {
  const QTemporaryDir folder;
  Listener listener;
  listener.attach(folder.path());
  EXPECT_NE(listener.updates.front()->error.find("not a run directory"), std::string::npos)
      << listener.updates.front()->error;
  EXPECT_EQ(listener.feed.spec(), nullptr);
  EXPECT_EQ(listener.feed.planned(), 0);
}

TEST(RunFeed, DetachingStopsTheNewsAndForgetsTheRun) {
  const QTemporaryDir folder;
  Listener listener;
  listener.attach(qs(test::makeRun(ss(folder.path()), {.steps = 5})));
  const QSignalSpy attached(&listener.feed, &RunFeed::attached);
  listener.feed.attach({});
  EXPECT_EQ(attached.count(), 1);
  EXPECT_TRUE(listener.feed.path().isEmpty());
  EXPECT_EQ(listener.feed.status().step, 0);
  EXPECT_FALSE(listener.feed.planIsKnown());
}

}  // namespace
}  // namespace tera::gui
