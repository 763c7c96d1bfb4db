#include "gui/demo_project.h"

#include <QSignalSpy>

#include "tests/gui/gui_test_support.h"
#include "tests/gui/test_program.h"

namespace tera::gui {
namespace {

using test::fakeTeragpt;

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

TEST(DemoProject, AsksForThePreparationAlone) {
  const QTemporaryDir folder;
  DemoProject demo;
  QStringList lines;
  QObject::connect(&demo, &DemoProject::progress, &demo,
                   [&](const QString& line) { lines << line; });
  const QSignalSpy failed(&demo, &DemoProject::failed);
  demo.prepare(fakeTeragpt(folder, "echo \"$@\" >&2\n"), folder.filePath("out"));
  ASSERT_TRUE(test::waitFor([&] { return failed.count() == 1; }));
  EXPECT_EQ(lines, QStringList{"demo --prepare-only --out " + folder.filePath("out") + " --json"});
  EXPECT_TRUE(failed.at(0).at(0).toString().contains("code 0"))
      << "it named no spec: " << ss(failed.at(0).at(0).toString());
}

// Of a bar that redraws its line, the last state of it counts as a line.
TEST(DemoProject, ReadsProgressBarsAsLines) {
  const QTemporaryDir folder;
  DemoProject demo;
  QStringList lines;
  QObject::connect(&demo, &DemoProject::progress, &demo,
                   [&](const QString& line) { lines << line; });
  const QSignalSpy failed(&demo, &DemoProject::failed);
  demo.prepare(fakeTeragpt(folder, "printf 'tokens: 1 k\\rtokens: 2 k\\n' >&2\nexit 3\n"),
               folder.filePath("out"));
  ASSERT_TRUE(test::waitFor([&] { return failed.count() == 1; }));
  EXPECT_EQ(lines, (QStringList{"tokens: 1 k", "tokens: 2 k"}));
  EXPECT_TRUE(failed.at(0).at(0).toString().contains("code 3"));
  EXPECT_TRUE(failed.at(0).at(1).toString().contains("run it in a terminal"));
}

TEST(DemoProject, AProgramThatDoesNotStartIsAnError) {
  DemoProject demo;
  const QSignalSpy failed(&demo, &DemoProject::failed);
  const QTemporaryDir folder;
  demo.prepare(folder.filePath("no-such-program"), folder.filePath("out"));
  ASSERT_TRUE(test::waitFor([&] { return failed.count() == 1; }));
  EXPECT_TRUE(failed.at(0).at(0).toString().contains("no-such-program did not start"));
  EXPECT_FALSE(demo.busy());
}

TEST(DemoProject, EndsItsChildWhenItGoes) {
  const QTemporaryDir folder;
  const QString alive = folder.filePath("alive");
  {
    DemoProject demo;
    demo.prepare(fakeTeragpt(folder, "trap 'rm " + alive + "; exit 1' TERM\ntouch " + alive +
                                         "\nwhile :; do sleep 0.05; done\n"),
                 folder.filePath("out"));
    ASSERT_TRUE(test::waitFor([&] { return QFile::exists(alive); }));
  }
  EXPECT_FALSE(QFile::exists(alive));
}

}  // namespace
}  // namespace tera::gui
