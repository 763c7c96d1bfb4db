#include "gui/pages/monitor_page.h"

#include <QChart>
#include <QComboBox>
#include <QPushButton>
#include <QTableView>
#include <QValueAxis>

#include "gui/models/log_model.h"
#include "gui/widgets/chart_view.h"
#include "gui/widgets/records_panel.h"
#include "tests/gui/find_widget.h"
#include "tests/gui/pages/monitor_fixture.h"

namespace tera::gui {
namespace {

using test::Monitor;

TEST(Monitor, WithoutARunItLeadsToLaunchAndStart) {
  Monitor m;
  EXPECT_TRUE(m.page->isReady());
  QStringList seen;
  for (auto* button : m.page->findChildren<QPushButton*>())
    if (button->isVisible()) seen << button->text();
  EXPECT_EQ(seen, (QStringList{"Launch", "Choose a run"}));
  test::buttonSaying(*m.page, "Choose a run")->click();
  EXPECT_EQ(m.w.window.currentPageName(), "start");
}

TEST(Monitor, AnOldRunIsShownWhole) {
  Monitor m;
  m.open({.hotExpert = 3, .deadExpert = 5, .spikeStep = 90});
  EXPECT_EQ(m.page->stateText(), "✓ completed");
  EXPECT_EQ(m.page->lossModel().raw(0).size(), 120);
  EXPECT_EQ(m.page->lossModel().raw(1).size(), 3);
  EXPECT_EQ(m.page->expertModel().numExperts(), 8);
  EXPECT_GT(m.page->expertModel().ratio(0, 3), 3);
  EXPECT_EQ(m.page->expertModel().ratio(0, 5), 0);
  EXPECT_TRUE(m.attends("spike at step 90"));
}

// Beside the model: what the chart draws has the spike too, at every zoom.
TEST(Monitor, TheSpikeIsInTheDrawnLine) {
  Monitor m;
  m.open({.steps = 4000, .layers = 0, .spikeStep = 2345});
  PlotView& plot = m.page->charts()[0]->plot();
  const double spike = m.page->lossModel().raw(0).y(2344);
  for (int level = 0; level < 8; ++level) {
    plot.refreshNow();
    double highest = 0;
    for (const QPointF& point : plot.rawSeries(0).points())
      highest = std::max(highest, point.y());
    EXPECT_GE(highest, spike) << level;
    plot.zoomX(0.5, 2345);
  }
}

TEST(Monitor, FollowsNewRecordsAndAResume) {
  Monitor m;
  m.open({.steps = 20, .ends = false});
  EXPECT_EQ(m.page->lossModel().raw(0).size(), 20);
  run::MetricWriter writer = run::MetricWriter::open(posix_vfs(), m.dir().metrics_file(2)).value();
  for (int step = 16; step <= 30; ++step) {  // resumed from a checkpoint at step 15
    run::MetricRecord record;
    record.attempt = 2;
    record.step = step;
    record.time_s = 2e9 + step;
    record.values = {{"loss", 1.0}};
    ASSERT_TRUE(writer.write(record));
  }
  ASSERT_TRUE(test::waitFor([&] { return m.page->lossModel().raw(0).size() == 30; }));
  EXPECT_EQ(m.page->lossModel().raw(0).y(15), 1.0);
}

TEST(Monitor, AttachingToAnotherRunStartsAfresh) {
  Monitor m;
  m.open({.spikeStep = 90});
  EXPECT_TRUE(m.attends("spike"));
  m.open({.steps = 10, .layers = 0});
  EXPECT_EQ(m.page->lossModel().raw(0).size(), 10);
  EXPECT_EQ(m.page->expertModel().numLayers(), 0);
  EXPECT_FALSE(m.attends("spike"));
}

TEST(Monitor, TheSpeedChartShowsThePlan) {
  Monitor m;
  m.open({.steps = 30});
  const double planned = m.w.session.feed().planned();
  ASSERT_GT(planned, 0);
  PlotView& plot = m.page->charts()[2]->plot();
  plot.refreshNow();
  const auto* axis = qobject_cast<QValueAxis*>(plot.chart()->axes(Qt::Vertical).front());
  const double scale = axis->labelFormat().endsWith(" k")   ? 1e3
                       : axis->labelFormat().endsWith(" M") ? 1e6
                                                            : 1;
  EXPECT_LE(axis->min() * scale, planned);
  EXPECT_GE(axis->max() * scale, planned) << "the run at 2 ktok/s and its plan are both in view";
}

TEST(Monitor, ChoicesOfAxisAndAverageReachEveryChart) {
  Monitor m;
  m.open({.steps = 60});
  test::called<QComboBox>(*m.page, "Horizontal axis")->setCurrentIndex(1);
  EXPECT_EQ(m.page->lossModel().xAxis(), XAxis::Tokens);
  EXPECT_DOUBLE_EQ(m.page->lossModel().xRange().second, 2048.0 * 60);
  test::called<QComboBox>(*m.page, "Smoothing")->setCurrentIndex(3);
  EXPECT_EQ(m.page->lossModel().smoothing(), 0);
  m.page->charts()[1]->plot().setFocus();
  QTest::keyClick(&m.page->charts()[1]->plot(), Qt::Key_E);
  EXPECT_EQ(test::called<QComboBox>(*m.page, "Smoothing")->currentIndex(), 0) << "E goes round";
  EXPECT_EQ(m.page->lossModel().smoothing(), 0.95);
  for (ChartView* chart : m.page->charts()) {
    chart->plot().refreshNow();
    const auto series = chart->plot().chart()->series();
    bool average = false;
    for (auto* one : series)
      average = average || (static_cast<QLineSeries*>(one) != &chart->plot().rawSeries(0) &&
                            static_cast<QLineSeries*>(one)->count() >= 60);
    EXPECT_TRUE(average);
  }
}

TEST(Monitor, TheLogIsShownAndFollowed) {
  Monitor m;
  m.path = qs(test::makeRun(ss(m.w.folder.path()), {.steps = 5, .ends = false}));
  test::appendLog(m.path, 1, "first line\nsecond");
  m.show();
  ASSERT_EQ(m.page->logModel().rowCount(), 1);
  EXPECT_EQ(m.page->logModel().row(0), "first line");
  QByteArray many = " line\n";
  for (int i = 0; i < 300; ++i)
    many += "line " + QByteArray::number(i) + "\n";
  m.page->findChild<RecordsPanel*>()->showLog();
  test::appendLog(m.path, 1, many);
  ASSERT_TRUE(test::waitFor([&] { return m.page->logModel().rowCount() == 302; }));
  EXPECT_EQ(m.page->logModel().row(1), "second line");
  const auto* table = test::called<QTableView>(*m.page, "Log");
  EXPECT_EQ(table->rowAt(table->viewport()->height() - 1), 301) << "the newest line is in view";
}

TEST(Monitor, CheckpointsAreEventsAndMarks) {
  Monitor m;
  m.open({.steps = 120});
  const EventModel& events = m.page->findChild<RecordsPanel*>()->events();
  QStringList checkpoints;
  for (const run::RunEvent& event : events.rows())
    if (event.state == "checkpoint") checkpoints << QString::number(event.step);
  EXPECT_EQ(checkpoints, (QStringList{"50", "100"}));
}

}  // namespace
}  // namespace tera::gui
