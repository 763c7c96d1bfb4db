#include "gui/widgets/command_palette.h"

#include <QLineEdit>
#include <QListWidget>

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(CommandPalette, RanksWordsOverScatteredLetters) {
  EXPECT_GT(paletteScore("exp", "Experts"), paletteScore("exp", "Explain six parts") - 1);
  EXPECT_GT(paletteScore("top", "Router top k"), paletteScore("top", "stop"));
  EXPECT_EQ(paletteScore("zzz", "Experts"), 0);
  EXPECT_GT(paletteScore("", "anything"), 0);
}

TEST(CommandPalette, SetsAFieldByItsWords) {
  QString got;
  QWidget parent;
  auto* palette =
      new CommandPalette({{"Experts", "", ':', [&](const QString& value) { got = value; }},
                          {"Save", "", '>', [&](const QString&) { got = "saved"; }}},
                         &parent);
  palette->box()->setText(":experts 128");
  EXPECT_EQ(palette->count(), 1);
  QTest::keyClick(palette->box(), Qt::Key_Return);
  EXPECT_EQ(got, "128");
}

struct Palette {
  Palette() {
    const auto entry = [this](const char* text, char prefix) {
      return PaletteEntry{text, "", QLatin1Char(prefix), [this, text](const QString& value) {
                            ran << QString("%1=%2").arg(text, value);
                          }};
    };
    palette = new CommandPalette({entry("Save", '>'), entry("Save as…", '>'), entry("Experts", ':'),
                                  entry("Shared experts", ':')},
                                 &parent);
    list = palette->findChild<QListWidget*>();
  }
  QStringList texts() const {
    QStringList all;
    for (int i = 0; i < list->count(); ++i)
      all << list->item(i)->text();
    return all;
  }
  QWidget parent;
  CommandPalette* palette;
  QListWidget* list;
  QStringList ran;
};

TEST(CommandPalette, ShowsAllUntilSomethingIsTyped) {
  const Palette p;
  EXPECT_EQ(p.palette->count(), 4);
  p.palette->box()->setText("exp");
  EXPECT_EQ(p.texts(), (QStringList{":  Experts", ":  Shared experts"}));
  p.palette->box()->setText("zzz");
  EXPECT_EQ(p.palette->count(), 0);
}

TEST(CommandPalette, APrefixKeepsToItsKind) {
  const Palette p;
  p.palette->box()->setText(">s");
  EXPECT_EQ(p.texts(), (QStringList{">  Save", ">  Save as…"}));
  p.palette->box()->setText("@s");
  EXPECT_EQ(p.palette->count(), 0);
}

TEST(CommandPalette, ArrowsChooseWhileTheBoxKeepsTheKeyboard) {
  Palette p;
  p.palette->box()->setText("save");
  QTest::keyClick(p.palette->box(), Qt::Key_Down);
  QTest::keyClick(p.palette->box(), Qt::Key_Down);  // stays at the last
  QTest::keyClick(p.palette->box(), Qt::Key_Return);
  EXPECT_EQ(p.ran, QStringList{"Save as…="});
}

TEST(CommandPalette, ReturnOnNothingRunsNothing) {
  Palette p;
  p.palette->box()->setText("zzz");
  QTest::keyClick(p.palette->box(), Qt::Key_Return);
  EXPECT_TRUE(p.ran.isEmpty());
}

TEST(CommandPalette, EscapeClosesWithoutRunning) {
  Palette p;
  p.palette->show();
  QTest::keyClick(p.palette, Qt::Key_Escape);
  EXPECT_FALSE(p.palette->isVisible());
  EXPECT_TRUE(p.ran.isEmpty());
}

}  // namespace
}  // namespace tera::gui
