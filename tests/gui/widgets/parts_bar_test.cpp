#include "gui/widgets/parts_bar.h"

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(PartsBar, SharesAddUpToTheWhole) {
  PartsBar bar("Parts");
  bar.setParts({{"a", "30", 30, Qt::red}, {"b", "10", 10, Qt::blue}});
  EXPECT_EQ(bar.accessibleName(), "Parts");
  EXPECT_EQ(bar.accessibleDescription(), "a 30 (75.0 %), b 10 (25.0 %)");
}

TEST(PartsBar, APartIsAsWideAsItsShare) {
  PartsBar bar("Parts");
  bar.resize(400, 22);
  const QColor red(200, 0, 0), blue(0, 0, 200);
  bar.setParts({{"a", "30", 30, red}, {"b", "0", 0, Qt::green}, {"c", "10", 10, blue}});
  const QImage image = bar.grab().toImage();
  const double ratio = image.devicePixelRatio();
  int reds = 0, blues = 0;
  for (int x = 0; x < image.width(); ++x) {
    const QRgb pixel = image.pixel(x, image.height() / 2);
    reds += pixel == red.rgb();
    blues += pixel == blue.rgb();
  }
  EXPECT_NEAR(reds / ratio, 299, 1.5);
  EXPECT_NEAR(blues / ratio, 99, 1.5);
}

TEST(PartsBar, NothingIsAnEmptyBar) {
  PartsBar bar("Parts");
  bar.setParts({});
  EXPECT_EQ(bar.accessibleDescription(), "");
  EXPECT_FALSE(bar.grab().isNull());
  bar.setParts({{"a", "0", 0, Qt::red}});
  EXPECT_FALSE(bar.grab().isNull());
}

// Colour is never the only signal: neighbours differ in hatching too.
TEST(PartsBar, NeighboursAreHatchedDifferently) {
  for (int i = 0; i < 6; ++i)
    EXPECT_NE(hatchOf(i), hatchOf((i + 1) % 6)) << i;
}

}  // namespace
}  // namespace tera::gui
