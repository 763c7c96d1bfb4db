#include "gui/program.h"

#include <QFileInfo>

#include "gui/about.h"
#include "tests/gui/test_program.h"

namespace tera::gui {
namespace {

struct Path {
  explicit Path(const QString& folder) : before(qgetenv("PATH")) {
    qputenv("PATH", folder.toUtf8());
  }
  ~Path() { qputenv("PATH", before); }
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;
  QByteArray before;
};

QString real(const QString& path) {
  return QFileInfo(path).canonicalFilePath();
}

TEST(Program, IsFoundBesideThenOnThePath) {
  const QTemporaryDir here, path;
  const QString onPath = test::fakeTeragpt(path, "exit 0\n");
  const Path only(path.path());
  EXPECT_EQ(real(findTeragpt(here.path())), real(onPath));
  const QString beside = test::fakeTeragpt(here, "exit 0\n");
  EXPECT_EQ(real(findTeragpt(here.path())), real(beside)) << "the one it was installed with";
}

TEST(Program, AFileThatCannotRunIsNotIt) {
  const QTemporaryDir here, empty;
  const Path only(empty.path());
  const QString file = test::fakeTeragpt(here, "exit 0\n");
  QFile::setPermissions(file, QFileDevice::ReadOwner);
  EXPECT_EQ(findTeragpt(here.path()), "");
}

TEST(About, StatesTheLicences) {
  EXPECT_TRUE(aboutText().contains("Apache License 2.0"));
  EXPECT_TRUE(aboutText().contains("GNU General Public License, version 3"));
}

}  // namespace
}  // namespace tera::gui
