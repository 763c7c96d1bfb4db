#include "gui/theme.h"

#include <cmath>

#include <QPalette>

#include "gui/icons.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

// Contrast of two colours by WCAG 2.1: relative luminance, 1 to 21.
double contrast(const QColor& a, const QColor& b) {
  const auto luminance = [](const QColor& color) {
    const auto channel = [](double c) {
      return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * channel(color.redF()) + 0.7152 * channel(color.greenF()) +
           0.0722 * channel(color.blueF());
  };
  const double la = luminance(a), lb = luminance(b);
  return (std::max(la, lb) + 0.05) / (std::min(la, lb) + 0.05);
}

struct ThemeTest : testing::TestWithParam<ThemeChoice> {
  void SetUp() override { applyTheme(GetParam()); }
  void TearDown() override { applyTheme(ThemeChoice::Dark); }
};

// WCAG AA: 4.5 for text, 3 for marks and large text.
TEST_P(ThemeTest, TextAndMarksStandOutFromTheirGround) {
  const Theme& colors = theme();
  for (const QColor& ground : {colors.window, colors.panel, colors.field}) {
    EXPECT_GE(contrast(colors.text, ground), 4.5);
    EXPECT_GE(contrast(colors.muted, ground), 4.5);
    for (const QColor& mark : {colors.ok, colors.warning, colors.critical, colors.accent})
      EXPECT_GE(contrast(mark, ground), 3) << mark.name().toStdString();
  }
  EXPECT_GE(contrast(colors.selectionText, colors.selection), 4.5);
  for (const QColor& line : colors.series)
    EXPECT_GE(contrast(line, colors.panel), 3) << line.name().toStdString();
}

TEST_P(ThemeTest, NoTwoSeriesOrPartsShareAColour) {
  QSet<QRgb> series, memory;
  for (const QColor& color : theme().series)
    series.insert(color.rgb());
  for (const QColor& color : theme().memory)
    memory.insert(color.rgb());
  EXPECT_EQ(series.size(), 8);
  EXPECT_EQ(memory.size(), theme().memory.size());
}

TEST_P(ThemeTest, ThePaletteOfTheApplicationIsTheThemes) {
  EXPECT_EQ(QApplication::palette().color(QPalette::Window), theme().window);
  EXPECT_EQ(QApplication::palette().color(QPalette::Text), theme().text);
  EXPECT_EQ(QApplication::palette().color(QPalette::Disabled, QPalette::Text), theme().disabled);
  EXPECT_EQ(theme().dark, GetParam() == ThemeChoice::Dark);
}

TEST_P(ThemeTest, IconsHaveTheColourOfTheTextBesideThem) {
  const QImage icon = themedIcon("run").pixmap(32, 32).toImage();
  int inked = 0;
  for (int y = 0; y < icon.height(); ++y) {
    for (int x = 0; x < icon.width(); ++x) {
      const QColor pixel = icon.pixelColor(x, y);
      if (pixel.alpha() < 255) continue;
      ++inked;
      EXPECT_EQ(pixel.rgb(), theme().text.rgb());
    }
  }
  EXPECT_GT(inked, 20);
}

INSTANTIATE_TEST_SUITE_P(LightAndDark,
                         ThemeTest,
                         testing::Values(ThemeChoice::Light, ThemeChoice::Dark),
                         [](const auto& one) {
                           return one.param == ThemeChoice::Dark ? "Dark" : "Light";
                         });

TEST(Theme, NamesGoBothWays) {
  for (const ThemeChoice choice : {ThemeChoice::Light, ThemeChoice::Dark, ThemeChoice::System})
    EXPECT_EQ(themeChoiceFromName(themeChoiceName(choice)), choice);
  EXPECT_EQ(themeChoiceFromName("pink"), ThemeChoice::System);
}

TEST(Theme, SeriesColoursRepeatAfterEight) {
  EXPECT_EQ(theme().seriesColor(9), theme().series[1]);
}

}  // namespace
}  // namespace tera::gui
