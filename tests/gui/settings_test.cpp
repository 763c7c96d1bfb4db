#include "gui/settings.h"

#include <QFile>

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

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

TEST(Settings, AMissingRecentFileCanBeForgotten) {
  const QTemporaryDir folder;
  Settings settings(folder.filePath("s.ini"));
  int told = 0;
  QObject::connect(&settings, &Settings::recentFilesChanged, &settings, [&] { ++told; });
  settings.addRecentFile("/a.yaml");
  settings.addRecentFile("/b.yaml");
  settings.removeRecentFile("/a.yaml");
  EXPECT_EQ(settings.recentFiles(), QStringList{"/b.yaml"});
  EXPECT_EQ(told, 3);
}

TEST(Settings, TheThemeComesBack) {
  const QTemporaryDir folder;
  EXPECT_EQ(Settings(folder.filePath("s.ini")).theme(), ThemeChoice::System);
  for (const ThemeChoice choice : {ThemeChoice::Light, ThemeChoice::Dark, ThemeChoice::System}) {
    Settings(folder.filePath("s.ini")).setTheme(choice);
    EXPECT_EQ(Settings(folder.filePath("s.ini")).theme(), choice);
  }
}

TEST(Settings, TheLayoutComesBackWhole) {
  const QTemporaryDir folder;
  const WindowLayout layout{.geometry = "g",
                            .docks = QByteArray("\0d", 2),
                            .openDocks = {"yaml", "problems"},
                            .splitters = {{"design/rows", "1"}, {"monitor/rows", "2"}},
                            .page = "monitor",
                            .project = "/p.yaml",
                            .run = "/runs/7"};
  Settings(folder.filePath("s.ini")).setLayout(layout);
  EXPECT_EQ(Settings(folder.filePath("s.ini")).layout(), layout);
}

// Pages that were not visited have no splitters to save; theirs of the last time stay.
TEST(Settings, ALayoutWithoutASplitterKeepsItsSizes) {
  const QTemporaryDir folder;
  Settings settings(folder.filePath("s.ini"));
  WindowLayout layout;
  layout.splitters = {{"design/rows", "1"}};
  settings.setLayout(layout);
  layout.splitters = {{"monitor/rows", "2"}};
  settings.setLayout(layout);
  EXPECT_EQ(settings.layout().splitters.size(), 2);
}

TEST(Settings, AFileOfANewerProgramKeepsItsValuesButNotItsLayout) {
  const QTemporaryDir folder;
  {
    Settings settings(folder.filePath("s.ini"));
    settings.addRecentFile("/a.yaml");
    WindowLayout layout;
    layout.docks = "newer";
    layout.splitters = {{"design/rows", "1"}};
    settings.setLayout(layout);
  }
  QSettings(folder.filePath("s.ini"), QSettings::IniFormat)
      .setValue("version", Settings::kVersion + 1);
  const Settings settings(folder.filePath("s.ini"));
  EXPECT_EQ(settings.recentFiles(), QStringList{"/a.yaml"});
  EXPECT_EQ(settings.layout().docks, QByteArray());
  EXPECT_TRUE(settings.layout().splitters.isEmpty());
}

TEST(Settings, AFileOfRubbishIsNoSettings) {
  const QTemporaryDir folder;
  QFile file(folder.filePath("s.ini"));
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(QByteArray("\x00\xff[[[=\n[window\ngeometry=@ByteArray(", 30));
  file.close();
  const Settings settings(folder.filePath("s.ini"));
  EXPECT_TRUE(settings.recentFiles().isEmpty());
  EXPECT_EQ(settings.theme(), ThemeChoice::System);
}

}  // namespace
}  // namespace tera::gui
