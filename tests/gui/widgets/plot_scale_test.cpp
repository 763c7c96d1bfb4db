#include "gui/widgets/plot_scale.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace tera::gui {
namespace {

TEST(PlotScale, PointsStayInOrderAndOnceEach) {
  run::PyramidColumn one{.count = 1,
                         .first = 2,
                         .min = 2,
                         .max = 2,
                         .last = 2,
                         .x_first = 10,
                         .x_min = 10,
                         .x_max = 10,
                         .x_last = 10};
  run::PyramidColumn many{.count = 5,
                          .first = 3,
                          .min = 1,
                          .max = 8,
                          .last = 4,
                          .x_first = 20,
                          .x_min = 23,
                          .x_max = 21,
                          .x_last = 24};
  const QList<QPointF> points = linePoints({one, {}, many}, 10, 2);
  const QList<QPointF> expected{{1, 1}, {2, 1.5}, {2.1, 4}, {2.3, 0.5}, {2.4, 2}};
  EXPECT_EQ(points, expected);
}

TEST(PlotScale, PrefixesStartAtTenOfTheirs) {
  EXPECT_STREQ(siStep(9'000).prefix, "");
  EXPECT_STREQ(siStep(10'000).prefix, "k");
  EXPECT_STREQ(siStep(9.9e6).prefix, "k");
  EXPECT_STREQ(siStep(1e7).prefix, "M");
  EXPECT_STREQ(siStep(1e16).prefix, "T");
  EXPECT_STREQ(siStep(0).prefix, "");
  EXPECT_EQ(siStep(2e10).factor, 1e9);
}

TEST(PlotScale, IntervalsAreRoundAndCutIntoAtMostSoManyParts) {
  for (const double span : {1e-9, 0.03, 1.0, 7.0, 99.0, 12345.0, 8e12}) {
    for (const int parts : {2, 3, 7}) {
      const double interval = niceInterval(span, parts);
      EXPECT_LE(span / interval, parts * (1 + 1e-12)) << span << " in " << parts;
      EXPECT_GT(span / interval, parts / 2.6) << span << " in " << parts;
      const double mantissa = interval / std::pow(10, std::floor(std::log10(interval) + 1e-9));
      EXPECT_TRUE(std::abs(mantissa - 1) < 1e-9 || std::abs(mantissa - 2) < 1e-9 ||
                  std::abs(mantissa - 5) < 1e-9)
          << interval;
    }
  }
  EXPECT_GT(niceInterval(0, 3), 0) << "a flat line has an axis too";
}

TEST(PlotScale, LabelsHaveTheDecimalsTheirIntervalNeeds) {
  EXPECT_EQ(labelFormat(1, {}), "%.0f");
  EXPECT_EQ(labelFormat(0.5, {}), "%.1f");
  EXPECT_EQ(labelFormat(0.02, {}), "%.2f");
  EXPECT_EQ(labelFormat(200, {1e3, "k"}), "%.0f k");
  EXPECT_EQ(labelFormat(1e-12, {}), "%.8f") << "never more than can be told apart";
}

TEST(PlotScale, NothingThatIsNoNumberIsDrawn) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  run::PyramidColumn gap{.count = 3,
                         .first = nan,
                         .min = 1,
                         .max = 2,
                         .last = nan,
                         .x_first = 0,
                         .x_min = 1,
                         .x_max = 2,
                         .x_last = 3};
  const QList<QPointF> points = linePoints({gap}, 1, 1);
  const QList<QPointF> expected{{1, 1}, {2, 2}};
  EXPECT_EQ(points, expected);
}

}  // namespace
}  // namespace tera::gui
