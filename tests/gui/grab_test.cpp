// The program itself: --grab writes a picture of a page; wrong arguments exit 2 and say what.
#include <QFile>
#include <QProcess>

#include "core/base/resources.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

struct Outcome {
  int code = -1;
  QString errors;
};

QString program() {
  return QString::fromUtf8(std::getenv("TERA_BINARY_DIR")) +
         "/app/teragpt_workbench/teragpt-workbench";
}

Outcome workbench(const QStringList& arguments) {
  QProcess process;
  process.start(program(), arguments);
  if (!process.waitForFinished(40'000)) process.kill();
  return {process.exitStatus() == QProcess::NormalExit ? process.exitCode() : -1,
          QString::fromUtf8(process.readAllStandardError())};
}

QString toyRun() {
  return qs(resource_path("runs/tiny-moe.yaml").value().string());
}

TEST(Grab, WritesAPictureOfEachPageInBothThemes) {
  const QTemporaryDir folder;
  QImage dark;
  for (const QString& theme : {QString("dark"), QString("light")}) {
    const QString file = folder.filePath(theme + ".png");
    const Outcome outcome = workbench(
        {toyRun(), "--page", "design", "--theme", theme, "--size", "1100x700", "--grab", file});
    EXPECT_EQ(outcome.code, 0) << ss(outcome.errors);
    const QImage image(file);
    ASSERT_EQ(image.size(), QSize(1100, 700));
    if (dark.isNull()) dark = image;
    if (theme == "light") {
      EXPECT_GT(test::lightness(image), test::lightness(dark) + 100);
    }
  }
}

TEST(Grab, ARunOpensItsMonitor) {
  const QTemporaryDir folder;
  const QString file = folder.filePath("m.png");
  const Outcome outcome = workbench({qs(test::makeRun(ss(folder.path()), {})), "--grab", file});
  EXPECT_EQ(outcome.code, 0) << ss(outcome.errors);
  EXPECT_EQ(QImage(file).size(), QSize(1366, 768));
}

TEST(Grab, WrongArgumentsExitTwoAndSayWhat) {
  const QList<std::pair<QStringList, QString>> cases{
      {{"/no/such.yaml", "--grab", "x.png"}, "/no/such.yaml: there is no such file or run"},
      {{"--page", "nowhere", "--grab", "x.png"}, "nowhere"},
      {{"--theme", "pink"}, "pink"},
      {{"--size", "10x10"}, "1024x640"},
      {{"--no-such-option"}, "no-such-option"},
      {{"a", "b"}, "at most one"},
      {{toyRun(), "--grab", "/no/such/folder/x.png"}, "/no/such/folder/x.png"}};
  for (const auto& [arguments, words] : cases) {
    const Outcome outcome = workbench(arguments);
    EXPECT_EQ(outcome.code, 2) << ss(arguments.join(' '));
    EXPECT_TRUE(outcome.errors.contains(words)) << ss(outcome.errors);
  }
}

// A desktop shows no terminal: without --grab the window opens and says the same.
TEST(Grab, AMissingFileOpensTheWindowAllTheSame) {
  QProcess process;
  process.start(program(), {"no-such-project.yaml"});
  QString said;
  EXPECT_TRUE(test::waitFor([&] {
    said += QString::fromUtf8(process.readAllStandardError());
    return said.contains("hint:");
  }));
  EXPECT_TRUE(said.contains("error: no-such-project.yaml: there is no such file or run; expected"))
      << ss(said);
  EXPECT_FALSE(process.waitForFinished(500)) << "the window stays open";
  process.kill();
  process.waitForFinished();
}

}  // namespace
}  // namespace tera::gui
