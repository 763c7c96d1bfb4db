// A chart with made-up values, on screen.
#pragma once
#include <functional>

#include "gui/widgets/chart_view.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui::test {

// A chart of a loss over `samples` steps, on screen.
struct Chart {
  Chart(int samples, const std::function<double(int)>& loss, QSize size = {600, 300})
      : model({"loss"}),
        view("Loss", "nat", model, {{.metric = 0, .name = {}, .colorIndex = 0, .smoothed = true}}) {
    std::vector<run::MetricRecord> records(static_cast<std::size_t>(samples));
    for (int i = 0; i < samples; ++i) {
      records[static_cast<std::size_t>(i)].step = i + 1;
      records[static_cast<std::size_t>(i)].values = {{"loss", loss(i)}};
    }
    model.append(records);
    view.resize(size);
    view.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&view));
    plot().refreshNow();
  }
  PlotView& plot() { return view.plot(); }
  // Of the faint line, in data units of x; labels take SI steps out of both.
  double highest() {
    plot().refreshNow();
    double most = -1e300;
    for (const QPointF& point : plot().rawSeries(0).points())
      most = std::max(most, point.y());
    return most;
  }
  MetricSeriesModel model;
  ChartView view;
};

}  // namespace tera::gui::test
