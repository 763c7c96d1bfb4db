#include "gui/widgets/plot_view.h"

#include <cmath>

#include <QChart>
#include <QValueAxis>

#include "gui/theme.h"
#include "tests/gui/widgets/chart_fixture.h"

namespace tera::gui {
namespace {

using test::Chart;

constexpr int kMillion = 1'000'000, kSpikes = 50;

bool isSpike(int i) {
  return i % (kMillion / kSpikes) == kMillion / kSpikes / 2;
}

double spiky(int i) {
  return isSpike(i) ? 9.0 + i * 1e-6 : 4 + 0.01 * std::sin(i);
}

// A million samples with spikes of one sample: the line has at most four points per column, and
// every spike is in it.
TEST(PlotView, DecimatesWithoutLosingASpike) {
  Chart chart(kMillion, spiky, {1000, 300});
  const QLineSeries& line = chart.plot().rawSeries(0);
  EXPECT_LE(line.count(), 4 * 1000 * chart.plot().devicePixelRatioF());
  EXPECT_GT(line.count(), 1000);
  int spikes = 0;
  for (const QPointF& point : line.points())
    spikes += point.y() > 8.5;
  EXPECT_EQ(spikes, kSpikes);
}

// At every zoom and place: what is highest in the window is highest in the line, to the sample.
TEST(PlotView, AOneSampleSpikeSurvivesAnyZoom) {
  Chart chart(kMillion, spiky, {700, 300});
  for (const int spike : {kMillion / kSpikes / 2, kMillion / 2 + kMillion / kSpikes / 2,
                          kMillion - kMillion / kSpikes / 2}) {
    const double x = spike + 1;  // steps count from one
    ASSERT_TRUE(isSpike(spike));
    chart.plot().fit();
    chart.plot().refreshNow();
    for (int level = 0; level < 16; ++level) {  // 0.5^16 of a million: some fifteen samples
      chart.plot().zoomX(0.5, x + 0.001);       // not on a sample, so that columns fall anywhere
      const double shown = chart.highest();
      EXPECT_GE(shown, spiky(spike)) << "spike " << spike << " at level " << level;
      EXPECT_LE(chart.plot().rawSeries(0).count(), 4 * 700 * chart.plot().devicePixelRatioF());
    }
    EXPECT_DOUBLE_EQ(chart.highest(), spiky(spike)) << "alone in the closest window";
  }
}

TEST(PlotView, TheSpikeStaysWhateverTheWidth) {
  for (const int width : {200, 333, 512, 1001, 1900}) {
    Chart chart(100'000, [](int i) { return i == 61'803 ? 50.0 : 1.0; }, {width, 200});
    EXPECT_DOUBLE_EQ(chart.highest(), 50) << width;
  }
}

TEST(PlotView, TheBoldLineIsTheAverageOfTheModel) {
  Chart chart(30, [](int i) { return i % 2 == 0 ? 2.0 : 4.0; });
  const auto series = chart.plot().chart()->series();
  ASSERT_EQ(series.size(), 2);  // raw below, average above
  const auto points = static_cast<QLineSeries*>(series[1])->points();
  ASSERT_EQ(points.size(), 30);
  for (int i = 0; i < 30; ++i)
    EXPECT_DOUBLE_EQ(points[i].y(), chart.model.smooth(0).y(i)) << i;
  chart.model.setSmoothing(0);
  chart.plot().refreshNow();
  EXPECT_EQ(static_cast<QLineSeries*>(series[1])->count(), 0) << "no average, no second line";
  EXPECT_EQ(chart.plot().rawSeries(0).count(), 30);
}

TEST(PlotView, KeysZoomFitAndGoBack) {
  Chart chart(100, [](int i) { return 100.0 - i; });
  PlotView& plot = chart.plot();
  const qsizetype all = plot.rawSeries(0).count();
  const auto count = [&](Qt::Key key) {
    QTest::keyClick(&plot, key);
    plot.refreshNow();
    return plot.rawSeries(0).count();
  };
  const qsizetype closer = count(Qt::Key_Plus);
  EXPECT_LT(closer, all);
  EXPECT_LT(count(Qt::Key_Plus), closer);
  EXPECT_EQ(count(Qt::Key_Backspace), closer);
  EXPECT_EQ(count(Qt::Key_Backspace), all);
  EXPECT_LT(count(Qt::Key_Plus), all);
  EXPECT_EQ(count(Qt::Key_0), all);
}

TEST(PlotView, ArrowsReadValuesAloud) {
  Chart chart(100, [](int i) { return 100.0 - i; });
  PlotView& plot = chart.plot();
  QTest::keyClick(&plot, Qt::Key_Right);
  EXPECT_EQ(plot.readout(), "@ 1  100");
  QTest::keyClick(&plot, Qt::Key_Right);
  EXPECT_EQ(plot.readout(), "@ 2  99");
  EXPECT_EQ(plot.accessibleDescription(), plot.readout());
  QTest::keyClick(&plot, Qt::Key_Left);
  QTest::keyClick(&plot, Qt::Key_Left);
  EXPECT_EQ(plot.readout(), "@ 1  100") << "and stop at the first";
}

TEST(PlotView, LeftOfNothingIsTheLastSample) {
  Chart chart(10, [](int i) { return double(i); });
  QTest::keyClick(&chart.plot(), Qt::Key_Left);
  EXPECT_EQ(chart.plot().readout(), "@ 10  9");
}

TEST(PlotView, FollowKeepsItsWidthAtTheTail) {
  Chart chart(100, [](int i) { return double(i); });
  PlotView& plot = chart.plot();
  QTest::keyClick(&plot, Qt::Key_F);
  plot.refreshNow();
  const auto* axis = qobject_cast<QValueAxis*>(plot.chart()->axes(Qt::Horizontal).front());
  const double width = axis->max() - axis->min();
  EXPECT_NEAR(axis->max(), 100, 1);
  EXPECT_LT(width, 30);
  std::vector<run::MetricRecord> more(1);
  more[0].step = 150;
  more[0].values = {{"loss", 1.0}};
  chart.model.append(more);
  plot.refreshNow();
  EXPECT_NEAR(axis->max(), 150, 1);
  EXPECT_NEAR(axis->max() - axis->min(), width, 1e-6);
}

TEST(PlotView, WheelZoomsAtTheCursorAndShiftZoomsTheValues) {
  Chart chart(1000, [](int i) { return double(i % 10); });
  PlotView& plot = chart.plot();
  const auto* x = qobject_cast<QValueAxis*>(plot.chart()->axes(Qt::Horizontal).front());
  const auto* y = qobject_cast<QValueAxis*>(plot.chart()->axes(Qt::Vertical).front());
  const QRectF area = plot.chart()->plotArea();
  const auto turn = [&](Qt::KeyboardModifiers keys) {
    const QPointF at(area.left() + area.width() / 4, area.center().y());
    QWheelEvent wheel(at, plot.mapToGlobal(at), {}, {0, 120}, Qt::NoButton, keys, Qt::NoScrollPhase,
                      false);
    QApplication::sendEvent(plot.viewport(), &wheel);
    plot.refreshNow();
  };
  const double before = x->max() - x->min(), held = x->min() + before / 4;
  turn(Qt::NoModifier);
  const double after = x->max() - x->min();
  EXPECT_LT(after, before);
  EXPECT_NEAR(x->min() + after / 4, held, before / 500) << "what is under the cursor stays there";
  const double tall = y->max() - y->min();
  turn(Qt::ShiftModifier);
  EXPECT_LT(y->max() - y->min(), tall);
  EXPECT_NEAR(x->max() - x->min(), after, 1e-9);
}

TEST(PlotView, DraggingPansAndABoxZooms) {
  Chart chart(1000, [](int i) { return double(i % 10); });
  PlotView& plot = chart.plot();
  const auto* x = qobject_cast<QValueAxis*>(plot.chart()->axes(Qt::Horizontal).front());
  const QPoint center = plot.chart()->plotArea().center().toPoint();
  const auto drag = [&](QPoint to, Qt::KeyboardModifiers keys) {
    QTest::mousePress(plot.viewport(), Qt::LeftButton, keys, center);
    QTest::mouseMove(plot.viewport(), to);
    QTest::mouseRelease(plot.viewport(), Qt::LeftButton, keys, to);
    plot.refreshNow();
  };
  const double min = x->min(), width = x->max() - x->min();
  drag(center + QPoint(50, 0), Qt::NoModifier);
  EXPECT_LT(x->min(), min) << "the past comes into view";
  EXPECT_NEAR(x->max() - x->min(), width, 1);
  drag(center + QPoint(100, 60), Qt::ControlModifier);
  EXPECT_NEAR((x->max() - x->min()) / width, 100 / plot.chart()->plotArea().width(), 0.02);
}

TEST(PlotView, ALogAxisLeavesOutWhatIsNotPositive) {
  Chart chart(20, [](int i) { return i < 10 ? 0.0 : std::pow(10.0, i - 12); });
  QTest::keyClick(&chart.plot(), Qt::Key_L);
  EXPECT_TRUE(chart.plot().logY());
  chart.plot().refreshNow();
  EXPECT_EQ(chart.plot().rawSeries(0).count(), 10);
  QTest::keyClick(&chart.plot(), Qt::Key_L);
  chart.plot().refreshNow();
  EXPECT_EQ(chart.plot().rawSeries(0).count(), 20);
}

int pixelsOf(const QImage& image, const QColor& color) {
  int count = 0;
  for (int y = 0; y < image.height(); ++y)
    for (int x = 0; x < image.width(); ++x)
      count += image.pixelColor(x, y).rgb() == color.rgb();
  return count;
}

TEST(PlotView, TheReferenceIsALineWithItsWords) {
  Chart chart(50, [](int i) { return 1000.0 + i; });
  const int before = pixelsOf(chart.plot().grab().toImage(), theme().warning);
  chart.plot().setReference(2000, "plan 2.00 ktok/s");
  chart.plot().refreshNow();
  EXPECT_GT(pixelsOf(chart.plot().grab().toImage(), theme().warning), before + 50);
  const auto* y = qobject_cast<QValueAxis*>(chart.plot().chart()->axes(Qt::Vertical).front());
  EXPECT_GE(y->max(), 2000) << "the plan is in view, however far the run is from it";
  chart.plot().setReference(std::nan(""), {});
  chart.plot().refreshNow();
  EXPECT_LT(y->max(), 1100);
}

TEST(PlotView, LabelsCarryThePrefixAndTheLineIsScaledWithThem) {
  Chart chart(50, [](int i) { return 20'000.0 + i; });
  const auto* y = qobject_cast<QValueAxis*>(chart.plot().chart()->axes(Qt::Vertical).front());
  EXPECT_TRUE(y->labelFormat().endsWith(" k")) << ss(y->labelFormat());
  EXPECT_NEAR(chart.highest(), 20.049, 1e-9);
}

TEST(PlotView, OneSampleAndNoneAreDrawnToo) {
  Chart one(1, [](int) { return 3.0; });
  EXPECT_EQ(one.plot().rawSeries(0).count(), 1);
  EXPECT_FALSE(one.plot().grab().isNull());
  Chart none(0, [](int) { return 0.0; });
  EXPECT_EQ(none.plot().rawSeries(0).count(), 0);
  QTest::keyClick(&none.plot(), Qt::Key_Right);
  EXPECT_EQ(none.plot().readout(), "");
  EXPECT_FALSE(none.plot().grab().isNull());
}

}  // namespace
}  // namespace tera::gui
