// PlotView: metrics of one run as lines. Raw values faint as min and max per pixel column, the
// average bold; both come from min/max pyramids, so a spike of one sample is seen at every zoom.
//
// Wheel zooms at the cursor (Shift: y), drag pans, Ctrl+drag zooms a box, Backspace goes back, 0
// fits, F follows the tail, L is log y, E changes the smoothing, C pins the crosshair, arrows move
// it a sample.
#pragma once
#include <optional>
#include <vector>

#include <QChartView>
#include <QLineSeries>
#include <QTimer>

#include "gui/models/metric_series_model.h"

class QLogValueAxis;
class QValueAxis;

namespace tera::gui {

struct Curve {
  int metric = 0;  // of the model
  QString name;    // "train", "held-out"; may be empty for a chart of one curve
  int colorIndex = 0;
  bool smoothed = true;  // raw faint and average bold; else one bold line with its points
};

class PlotView : public QChartView {
  Q_OBJECT
 public:
  PlotView(MetricSeriesModel& model, std::vector<Curve> curves, QWidget* parent = nullptr);

  void setReference(double value, const QString& label);  // a horizontal line; NaN for none
  void setMarkers(std::vector<std::pair<std::int64_t, QString>> markers);  // step, what happened
  void setLogY(bool on);
  bool logY() const { return m_logY; }
  void fit();
  void zoomX(double factor, double center);
  void refreshNow();
  bool isFresh() const { return !m_refresh.isActive(); }
  // Samples nearest to the crosshair in words; empty without one.
  QString readout() const { return m_readout; }
  const QLineSeries& rawSeries(int curve) const {
    return *m_lines[static_cast<std::size_t>(curve)].raw;
  }

 signals:
  void readoutChanged(const QString& text);
  void smoothingRequested();

 protected:
  void drawForeground(QPainter* painter, const QRectF& rect) override;
  void wheelEvent(QWheelEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void leaveEvent(QEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  struct Window {
    double x0 = 0, x1 = 1;
    std::optional<std::pair<double, double>> y;
  };
  struct Line {
    Curve curve;
    QLineSeries* raw = nullptr;
    QLineSeries* average = nullptr;  // null when not smoothed
  };
  void schedule();
  void recolor();
  Window shownWindow() const;
  void setWindow(const Window& window);
  void setAxes(const Window& window, double low, double high);
  double dataX(double pixel) const;
  double dataY(double pixel) const;
  double pixelX(double x) const;
  double pixelY(double y) const;
  void moveCrosshair(double x);
  void stepCrosshair(int samples);
  void paintLegend(QPainter& painter, const QRectF& area) const;

  MetricSeriesModel& m_model;
  std::vector<Line> m_lines;
  QValueAxis* m_xAxis;
  QValueAxis* m_yAxis;
  QLogValueAxis* m_logAxis;
  QTimer m_refresh;
  bool m_logY = false;
  bool m_follow = false;
  std::optional<Window> m_window;  // none: everything
  std::vector<Window> m_history;
  double m_xScale = 1, m_yScale = 1;  // SI steps taken out of the axis labels
  Window m_shown;                     // what the axes show, in data units; y always set
  double m_reference;
  QString m_referenceLabel;
  std::vector<std::pair<std::int64_t, QString>> m_markers;
  std::optional<double> m_crosshair;
  bool m_pinned = false;
  QString m_readout;
  std::optional<QPoint> m_dragFrom;
  QPoint m_dragAt;
  bool m_boxing = false;
};

}  // namespace tera::gui
