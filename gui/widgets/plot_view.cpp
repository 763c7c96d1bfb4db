#include "gui/widgets/plot_view.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <QChart>
#include <QEvent>
#include <QGraphicsLayout>
#include <QLogValueAxis>
#include <QPainter>
#include <QValueAxis>

#include "core/base/units.h"
#include "gui/text.h"
#include "gui/theme.h"

namespace tera::gui {
namespace {

constexpr int kFrameMs = 16;
constexpr std::int64_t kFewSamples = 60;  // so few are drawn with their points
constexpr std::size_t kMaxHistory = 50;
constexpr double kMarkWidth = 8;

struct SiStep {
  double factor;
  const char* prefix;
};

SiStep siStep(double largest) {
  for (const SiStep& step :
       {SiStep{1e12, "T"}, SiStep{1e9, "G"}, SiStep{1e6, "M"}, SiStep{1e3, "k"}}) {
    if (largest >= step.factor * 10) return step;
  }
  return {1, ""};
}

double niceInterval(double span, int parts) {
  const double rough = std::max(span, 1e-300) / parts;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

QString labelFormat(double interval) {
  const int decimals = std::clamp(static_cast<int>(std::ceil(-std::log10(interval) - 1e-9)), 0, 8);
  return QStringLiteral("%.%1f").arg(decimals);
}

}  // namespace

QList<QPointF> linePoints(const std::vector<run::PyramidColumn>& columns,
                          double xScale,
                          double yScale) {
  QList<QPointF> points;
  points.reserve(static_cast<qsizetype>(columns.size()) * 2);
  const auto add = [&](double x, double y) {
    if (!std::isfinite(y)) return;
    const QPointF point(x / xScale, y / yScale);
    if (points.isEmpty() || points.last() != point) points.append(point);
  };
  for (const run::PyramidColumn& column : columns) {
    if (column.count == 0) continue;
    add(column.x_first, column.first);
    if (column.count > 2) {
      const bool minFirst = column.x_min <= column.x_max;
      add(minFirst ? column.x_min : column.x_max, minFirst ? column.min : column.max);
      add(minFirst ? column.x_max : column.x_min, minFirst ? column.max : column.min);
    }
    if (column.count > 1) add(column.x_last, column.last);
  }
  return points;
}

PlotView::PlotView(MetricSeriesModel& model,
                   std::vector<Curve> curves,
                   QString unit,
                   QWidget* parent)
    : QChartView(parent),
      m_model(model),
      m_unit(std::move(unit)),
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

void PlotView::recolor() {
  const Theme& colors = theme();
  setBackgroundBrush(colors.panel);
  QFont small = font();
  small.setPointSizeF(small.pointSizeF() * 0.86);
  for (QAbstractAxis* axis :
       {static_cast<QAbstractAxis*>(m_xAxis), static_cast<QAbstractAxis*>(m_yAxis),
        static_cast<QAbstractAxis*>(m_logAxis)}) {
    axis->setLabelsColor(colors.muted);
    axis->setGridLineColor(colors.grid);
    axis->setMinorGridLineColor(colors.grid);
    axis->setLinePenColor(colors.border);
    axis->setLabelsFont(small);
  }
  const bool smoothing = m_model.smoothing() > 0;
  for (const Line& line : m_lines) {
    QColor color = colors.seriesColor(line.curve.colorIndex);
    if (line.average != nullptr) line.average->setPen(QPen(color, 2.2));
    if (line.average != nullptr && smoothing) color.setAlpha(colors.dark ? 95 : 80);
    const double width = line.average == nullptr ? 2.2 : 1;
    line.raw->setPen(QPen(color, width, line.average == nullptr ? Qt::DashLine : Qt::SolidLine));
  }
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
  const SiStep yStep = m_logY ? SiStep{1, ""} : siStep(std::max(std::abs(low), std::abs(high)));
  m_xScale = xStep.factor;
  m_yScale = yStep.factor;
  // The prefix stands in the labels: "20 k", never in the values a person has to multiply.
  const double xInterval =
      niceInterval((window.x1 - window.x0) / m_xScale, std::max(2, width() / 110));
  m_xAxis->setTickInterval(xInterval);
  m_xAxis->setLabelFormat(
      labelFormat(xInterval) +
      (*xStep.prefix != 0 ? QStringLiteral(" ") + QLatin1String(xStep.prefix) : QString()));
  m_xAxis->setRange(window.x0 / m_xScale, window.x1 / m_xScale);
  if (m_logY) {
    m_logAxis->setRange(low, high);
    return;
  }
  const double yInterval = niceInterval((high - low) / m_yScale, std::max(3, height() / 45));
  m_yAxis->setTickInterval(yInterval);
  m_yAxis->setLabelFormat(
      labelFormat(yInterval) +
      (*yStep.prefix != 0 ? QStringLiteral(" ") + QLatin1String(yStep.prefix) : QString()));
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
  for (QAbstractSeries* series : chart()->series())
    series->attachAxis(to);
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

void PlotView::drawForeground(QPainter* painter, const QRectF&) {
  const Theme& colors = theme();
  const QRectF area = chart()->plotArea();
  QFont small = font();
  small.setPointSizeF(small.pointSizeF() * 0.86);
  painter->setFont(small);
  if (m_model.rowCount() == 0) {
    painter->setPen(colors.muted);
    painter->drawText(area, Qt::AlignCenter, tr("no record yet"));
    return;
  }
  painter->save();
  painter->setClipRect(area.adjusted(0, -2, 2, 2));
  double lastMark = -1e9;  // marks closer than their own width say no more than one
  for (const auto& [step, what] : m_markers) {
    const double x = pixelX(m_model.xOfStep(step));
    if (x - lastMark < kMarkWidth) continue;
    lastMark = x;
    painter->setBrush(colors.idle);
    painter->setPen(Qt::NoPen);
    const QPointF mark[] = {{x - kMarkWidth / 2, area.bottom()},
                            {x + kMarkWidth / 2, area.bottom()},
                            {x, area.bottom() - kMarkWidth * 0.75}};
    painter->drawPolygon(mark, 3);
  }
  if (std::isfinite(m_reference) && (!m_logY || m_reference > 0)) {
    const double y = pixelY(m_reference);
    painter->setPen(QPen(colors.warning, 1.4, Qt::DashLine));
    painter->drawLine(QPointF(area.left(), y), QPointF(area.right(), y));
    const bool under = y < area.top() + 18;
    painter->drawText(QRectF(area.left() + 4, under ? y + 1 : y - 16, area.width() - 8, 15),
                      Qt::AlignLeft | Qt::AlignVCenter, m_referenceLabel);
  }
  if (m_crosshair) {
    const double x = pixelX(*m_crosshair);
    painter->setPen(QPen(colors.text, 1, Qt::DotLine));
    painter->drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()));
  }
  if (m_dragFrom && m_boxing) {
    painter->setPen(QPen(colors.accent, 1));
    QColor fill = colors.accent;
    fill.setAlpha(40);
    painter->setBrush(fill);
    painter->drawRect(QRect(*m_dragFrom, m_dragAt).normalized());
  }
  painter->restore();
  paintLegend(*painter, area);
}

void PlotView::paintLegend(QPainter& painter, const QRectF& area) const {
  if (m_lines.size() < 2) return;
  double right = area.right() - 2;
  for (auto line = m_lines.rbegin(); line != m_lines.rend(); ++line) {
    if (m_model.raw(line->curve.metric).size() == 0) continue;
    const double width = painter.fontMetrics().horizontalAdvance(line->curve.name);
    painter.setPen(theme().text);
    painter.drawText(QRectF(right - width, area.top(), width, 14), Qt::AlignVCenter,
                     line->curve.name);
    painter.setPen(QPen(theme().seriesColor(line->curve.colorIndex), 2.2,
                        line->average == nullptr ? Qt::DashLine : Qt::SolidLine));
    painter.drawLine(QPointF(right - width - 24, area.top() + 7),
                     QPointF(right - width - 6, area.top() + 7));
    right -= width + 36;
  }
}

}  // namespace tera::gui
