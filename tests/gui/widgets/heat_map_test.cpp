#include "gui/widgets/heat_map.h"

#include <cmath>

#include "gui/theme.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(HeatMap, ColoursAreSymmetricInTheLogarithmAndClamped) {
  applyTheme(ThemeChoice::Dark);
  EXPECT_EQ(expertColor(1), theme().middle.rgb());
  EXPECT_EQ(expertColor(4), theme().high.rgb());
  EXPECT_EQ(expertColor(100), theme().high.rgb());
  EXPECT_EQ(expertColor(0.25), theme().low.rgb());
  EXPECT_EQ(expertColor(0), theme().low.rgb());
  EXPECT_EQ(expertColor(std::nan("")), theme().raised.rgb());
  const QColor twice(expertColor(2));  // half of the way
  EXPECT_NEAR(twice.red(), (theme().middle.red() + theme().high.red()) / 2.0, 1);
}

TEST(HeatMap, APixelShowsTheExpertFarthestFromIdeal) {
  ExpertLoadModel model;
  std::vector<double> loads(1000, 1.0);
  loads[617] = 40;  // mean 1.039
  model.setLoads({loads, std::vector<double>(1000, 1.0)}, {0, 1}, 1);
  const HeatMap map(model);
  const QImage image = map.render({100, 20});
  EXPECT_EQ(image.pixel(61, 3), expertColor(40));
  EXPECT_NE(image.pixel(60, 3), expertColor(40));
  EXPECT_EQ(image.pixel(61, 15), expertColor(1));
}

TEST(HeatMap, FindsCellsAndSpeaksThem) {
  ExpertLoadModel model;
  HeatMap map(model);
  map.resize(400, 200);
  EXPECT_FALSE(map.cellAt({100, 50}));
  model.setLoads({{1, 3}, {2, 2}}, {4, 5}, 9);
  EXPECT_TRUE(map.accessibleDescription().contains("worst is layer 4"));
  map.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&map));
  map.setFocus();
  QTest::keyClick(&map, Qt::Key_Right);
  EXPECT_EQ(map.accessibleDescription(), map.describe(0, 1));
  EXPECT_TRUE(map.describe(0, 1).contains("1.50"));
}

// Everything on screen: what is painted at a cell's place is the colour of its load.
TEST(HeatMap, ACellIsPaintedWhereItIsFound) {
  applyTheme(ThemeChoice::Dark);
  ExpertLoadModel model;
  model.setLoads({{1, 1, 1, 5}, {2, 2, 2, 2}, {0.1, 1, 1, 1}}, {0, 1, 2}, 1);
  HeatMap map(model);
  map.resize(500, 240);
  map.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&map));
  const QImage image = map.grab().toImage();
  const double ratio = image.devicePixelRatio();
  for (const auto& [row, expert] : {std::pair{0, 3}, std::pair{1, 0}, std::pair{2, 0}}) {
    const QPointF center = map.cellRect(row, expert).center();
    EXPECT_EQ(map.cellAt(center), (std::pair{row, expert}));
    EXPECT_EQ(image.pixel((center * ratio).toPoint()), expertColor(model.ratio(row, expert)))
        << row << " " << expert;
  }
}

TEST(HeatMap, EveryCellIsFoundAtItsCenterAndTheMarginBesideThem) {
  ExpertLoadModel model;
  model.setLoads(std::vector<std::vector<double>>(7, std::vector<double>(13, 1.0)),
                 {0, 1, 2, 3, 4, 5, 6}, 1);
  HeatMap map(model);
  map.resize(411, 217);
  for (int row = 0; row < 7; ++row) {
    for (int column = 0; column <= 13; ++column)
      EXPECT_EQ(map.cellAt(map.cellRect(row, column).center()), (std::pair{row, column}));
  }
  EXPECT_FALSE(map.cellAt({1, 1})) << "the names of the layers are no cells";
  EXPECT_FALSE(map.cellAt({200, 216})) << "nor is the scale";
}

TEST(HeatMap, ArrowsStayInsideAndReachTheMargin) {
  ExpertLoadModel model;
  model.setLoads({{1, 3}, {2, 2}}, {4, 5}, 9);
  HeatMap map(model);
  map.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&map));
  map.setFocus();
  EXPECT_EQ(map.cursor(), (std::pair{0, 0})) << "focus puts it at the first cell";
  QTest::keyClick(&map, Qt::Key_Up);
  QTest::keyClick(&map, Qt::Key_Left);
  EXPECT_EQ(map.cursor(), (std::pair{0, 0}));
  QTest::keyClick(&map, Qt::Key_End);
  EXPECT_EQ(map.cursor(), (std::pair{0, 2}));
  EXPECT_EQ(map.describe(0, 2), "Layer 4, max / mean: 1.50×");
  QTest::keyClick(&map, Qt::Key_Down);
  QTest::keyClick(&map, Qt::Key_Down);
  QTest::keyClick(&map, Qt::Key_Home);
  EXPECT_EQ(map.cursor(), (std::pair{1, 0}));
}

TEST(HeatMap, ACursorOutsideANewShapeIsGone) {
  ExpertLoadModel model;
  model.setLoads({{1, 3, 1}, {2, 2, 2}}, {0, 1}, 1);
  HeatMap map(model);
  map.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&map));
  map.setFocus();
  QTest::keyClick(&map, Qt::Key_Down);
  ASSERT_EQ(map.cursor(), (std::pair{1, 0}));
  model.setLoads({{1, 3, 1}}, {0}, 2);
  EXPECT_FALSE(map.cursor());
  EXPECT_FALSE(map.grab().isNull());
  model.clear();
  QTest::keyClick(&map, Qt::Key_Right);
  EXPECT_FALSE(map.cursor()) << "no cell to go to";
  EXPECT_FALSE(map.grab().isNull());
}

TEST(HeatMap, DeadExpertsAreHatchedAndCounted) {
  ExpertLoadModel model;
  model.setLoads({{0, 2, 2, 2}}, {3}, 1);
  HeatMap map(model);
  map.resize(500, 200);
  EXPECT_TRUE(map.accessibleDescription().contains("1 dead")) << ss(map.accessibleDescription());
  EXPECT_EQ(map.describe(0, 0), "Layer 3, expert 0: dead: no token");
  const QRect cell = map.cellRect(0, 0).toAlignedRect();
  const QImage image = map.grab(cell).toImage();
  int hatch = 0;
  for (int x = 0; x < image.width(); ++x)
    hatch += image.pixelColor(x, image.height() / 2).rgb() == theme().critical.rgb();
  EXPECT_GT(hatch, 2);
}

TEST(HeatMap, ALayerWithoutTokensIsNotAvailable) {
  ExpertLoadModel model;
  model.setLoads({{0, 0}, {1, 1}}, {0, 1}, 1);
  const HeatMap map(model);
  EXPECT_EQ(map.describe(0, 0), "Layer 0, expert 0: n/a");
}

}  // namespace
}  // namespace tera::gui
