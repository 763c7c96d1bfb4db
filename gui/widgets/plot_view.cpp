#include "gui/widgets/plot_view.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <QChart>
#include <QGraphicsLayout>
#include <QLogValueAxis>
#include <QPainter>
#include <QValueAxis>

#include "gui/widgets/plot_scale.h"

namespace tera::gui {
namespace {

constexpr int kFrameMs = 16;
constexpr std::int64_t kFewSamples = 60;  // so few are drawn with their points
constexpr std::size_t kMaxHistory = 50;

}  // namespace

PlotView::PlotView(MetricSeriesModel& model, std::vector<Curve> curves, QWidget* parent)
    : QChartView(parent),
      m_model(model),
      m_xAxis(new QValueAxis),
      m_yAxis(new QValueAxis),
      m_logAxis(new QLogValueAxis),
      m_reference(std::numeric_limits<double>::quiet_NaN()) {
  setFrameShape(QFrame::NoFrame);
  setFocusPolicy(Qt::StrongFocus);
  setRenderHint(QPainter::Antialiasing);
  setMouseTracking(true);
  setMinimumSize(160, 90);
  chart()->legend()->hide();
  chart()->setMargins(QMargins(0, 0, 0, 0));
  chart()->layout()->setContentsMargins(0, 0, 0, 0);
  chart()->setBackgroundVisible(false);
  chart()->addAxis(m_xAxis, Qt::AlignBottom);
  chart()->addAxis(m_yAxis, Qt::AlignLeft);
  m_logAxis->setParent(this);
  m_logAxis->setBase(10);
  m_logAxis->setLabelFormat(QStringLiteral("%g"));
  m_logAxis->setMinorTickCount(-1);
  for (QValueAxis* axis : {m_xAxis, m_yAxis}) {
    axis->setTickType(QValueAxis::TicksDynamic);
    axis->setTickAnchor(0);
    axis->setLineVisible(false);
  }
  m_xAxis->setGridLineVisible(false);
  for (Curve& curve : curves) {
    Line line;
    line.curve = std::move(curve);
    line.raw = new QLineSeries(this);
    if (line.curve.smoothed) line.average = new QLineSeries(this);
    m_lines.push_back(std::move(line));
  }
  for (const bool averages : {false, true}) {  // every average above every raw line
    for (const Line& line : m_lines) {
      QLineSeries* series = averages ? line.average : line.raw;
      if (series == nullptr) continue;
      chart()->addSeries(series);
      series->attachAxis(m_xAxis);
      series->attachAxis(m_yAxis);
    }
  }
  m_refresh.setSingleShot(true);
  m_refresh.setInterval(kFrameMs);
  connect(&m_refresh, &QTimer::timeout, this, &PlotView::refreshNow);
  connect(&m_model, &MetricSeriesModel::changed, this, &PlotView::schedule);
  connect(chart(), &QChart::plotAreaChanged, this, &PlotView::schedule);
  recolor();
}

void PlotView::schedule() {
  if (!m_refresh.isActive()) m_refresh.start();
}

PlotView::Window PlotView::shownWindow() const {
  const auto [first, last] = m_model.xRange();
  const double columns = std::max(1.0, chart()->plotArea().width());
  Window all{first, last + std::max((last - first) / columns, 1e-9), std::nullopt};
  if (last <= first) all = {first - 0.5, first + 0.5, std::nullopt};
  if (!m_window) return all;
  Window window = *m_window;
  if (m_follow) {
    const double shift = all.x1 - window.x1;
    window.x0 += shift;
    window.x1 += shift;
  }
  return window;
}

void PlotView::refreshNow() {
  m_refresh.stop();
  const Window window = shownWindow();
  const double ratio = devicePixelRatioF();
  const int columns =
      std::max(16, static_cast<int>(std::lround(chart()->plotArea().width() * ratio)));
  const double inf = std::numeric_limits<double>::infinity();
  double low = inf, high = -inf;
  struct Query {
    std::vector<run::PyramidColumn> raw, average;
  };
  std::vector<Query> queries;
  for (const Line& line : m_lines) {
    Query query;
    query.raw = m_model.raw(line.curve.metric).query(window.x0, window.x1, columns);
    if (line.average != nullptr && m_model.smoothing() > 0)
      query.average = m_model.smooth(line.curve.metric).query(window.x0, window.x1, columns);
    for (const run::PyramidColumn& column : query.raw) {
      if (column.count == 0 || !std::isfinite(column.min) || (m_logY && column.min <= 0)) continue;
      low = std::min(low, column.min);
      high = std::max(high, column.max);
    }
    queries.push_back(std::move(query));
  }
  if (std::isfinite(m_reference) && low <= high) {
    low = std::min(low, m_reference);
    high = std::max(high, m_reference);
  }
  if (low > high) {
    low = 0;
    high = 1;
  }
  setAxes(window, low, high);
  for (std::size_t i = 0; i < m_lines.size(); ++i) {
    QList<QPointF> raw = linePoints(queries[i].raw, m_xScale, m_yScale);
    QList<QPointF> average = linePoints(queries[i].average, m_xScale, m_yScale);
    if (m_logY) {  // zero and below have no place on a log axis
      const auto below = [](const QPointF& point) { return point.y() <= 0; };
      raw.removeIf(below);
      average.removeIf(below);
    }
    const bool few = m_model.raw(m_lines[i].curve.metric).size() <= kFewSamples;
    m_lines[i].raw->setPointsVisible(few);
    m_lines[i].raw->replace(raw);
    if (m_lines[i].average != nullptr) m_lines[i].average->replace(average);
  }
  recolor();
  viewport()->update();
}

void PlotView::setAxes(const Window& window, double low, double high) {
  m_shown = window;
  if (window.y) {
    std::tie(low, high) = *window.y;
  } else if (m_logY) {
    low /= 1.1;
    high *= 1.1;
  } else {
    const double span = high - low;
    const double pad = span > 0 ? span * 0.06 : std::max(std::abs(high) * 0.05, 1e-6);
    low = low >= 0 ? std::max(0.0, low - pad) : low - pad;
    high += pad;
  }
  m_shown.y = std::pair{low, high};
  const SiStep xStep = siStep(std::max(std::abs(window.x0), std::abs(window.x1)));
  const SiStep yStep = m_logY ? SiStep{} : siStep(std::max(std::abs(low), std::abs(high)));
  m_xScale = xStep.factor;
  m_yScale = yStep.factor;
  // The prefix stands in the labels: "20 k", never in the values a person has to multiply.
  const double xInterval =
      niceInterval((window.x1 - window.x0) / m_xScale, std::max(2, width() / 110));
  m_xAxis->setTickInterval(xInterval);
  m_xAxis->setLabelFormat(labelFormat(xInterval, xStep));
  m_xAxis->setRange(window.x0 / m_xScale, window.x1 / m_xScale);
  if (m_logY) {
    m_logAxis->setRange(low, high);
    return;
  }
  const double yInterval = niceInterval((high - low) / m_yScale, std::max(3, height() / 45));
  m_yAxis->setTickInterval(yInterval);
  m_yAxis->setLabelFormat(labelFormat(yInterval, yStep));
  m_yAxis->setRange(low / m_yScale, high / m_yScale);
}

void PlotView::setReference(double value, const QString& label) {
  m_reference = value;
  m_referenceLabel = label;
  schedule();
}

void PlotView::setMarkers(std::vector<std::pair<std::int64_t, QString>> markers) {
  m_markers = std::move(markers);
  viewport()->update();
}

void PlotView::setLogY(bool on) {
  if (on == m_logY) return;
  m_logY = on;
  QAbstractAxis* from = on ? static_cast<QAbstractAxis*>(m_yAxis) : m_logAxis;
  QAbstractAxis* to = on ? static_cast<QAbstractAxis*>(m_logAxis) : m_yAxis;
  chart()->removeAxis(from);
  from->setParent(this);
  chart()->addAxis(to, Qt::AlignLeft);
  for (QAbstractSeries* series : chart()->series()) {
    static_cast<QLineSeries*>(series)->clear();  // a log axis complains of every zero it is given
    series->attachAxis(to);
  }
  schedule();
}

void PlotView::fit() {
  m_window.reset();
  m_history.clear();
  m_follow = false;
  schedule();
}

void PlotView::setWindow(const Window& window) {
  m_history.push_back(shownWindow());
  if (m_history.size() > kMaxHistory) m_history.erase(m_history.begin());
  m_window = window;
  schedule();
}

void PlotView::zoomX(double factor, double center) {
  Window window = shownWindow();
  window.x0 = center + (window.x0 - center) * factor;
  window.x1 = center + (window.x1 - center) * factor;
  setWindow(window);
}

double PlotView::dataX(double pixel) const {
  const QRectF area = chart()->plotArea();
  return m_shown.x0 +
         (pixel - area.left()) / std::max(1.0, area.width()) * (m_shown.x1 - m_shown.x0);
}

double PlotView::pixelX(double x) const {
  const QRectF area = chart()->plotArea();
  return area.left() + (x - m_shown.x0) / (m_shown.x1 - m_shown.x0) * area.width();
}

double PlotView::dataY(double pixel) const {
  const QRectF area = chart()->plotArea();
  const auto [low, high] = m_shown.y.value_or(std::pair{0.0, 1.0});
  const double share = (area.bottom() - pixel) / std::max(1.0, area.height());
  return m_logY ? low * std::pow(high / low, share) : low + share * (high - low);
}

double PlotView::pixelY(double y) const {
  const QRectF area = chart()->plotArea();
  const auto [low, high] = m_shown.y.value_or(std::pair{0.0, 1.0});
  const double share = m_logY ? std::log(y / low) / std::log(high / low) : (y - low) / (high - low);
  return area.bottom() - share * area.height();
}

}  // namespace tera::gui
