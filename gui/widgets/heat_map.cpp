#include "gui/widgets/heat_map.h"

#include <algorithm>
#include <cmath>

#include <QAccessible>
#include <QImage>
#include <QPainter>

#include "gui/theme.h"
#include "gui/widgets/heat_map_accessible.h"

namespace tera::gui {
namespace {

constexpr double kRange = 2;      // log2: 1/4x ... 4x
constexpr double kHotMean = 2;    // max / mean from here on stands out
constexpr double kMinCursor = 3;  // pixels
constexpr double kMarginGap = 8, kMarginBar = 40, kMarginRoom = 76;  // beside the map: max / mean

double logRatio(double ratio) {
  return ratio > 0 ? std::clamp(std::log2(ratio), -kRange, kRange) : -kRange;
}

int mix(int a, int b, double share) {
  return static_cast<int>(std::lround(a + (b - a) * share));
}

}  // namespace

QRgb expertColor(double ratio) {
  if (std::isnan(ratio)) return theme().raised.rgb();
  const double at = logRatio(ratio) / kRange;
  const QColor& from = theme().middle;
  const QColor& to = at < 0 ? theme().low : theme().high;
  const double share = std::abs(at);
  return qRgb(mix(from.red(), to.red(), share), mix(from.green(), to.green(), share),
              mix(from.blue(), to.blue(), share));
}

HeatMap::HeatMap(ExpertLoadModel& model, QWidget* parent) : QWidget(parent), m_model(model) {
  HeatMapAccessible::install();  // first: setAccessibleName makes the interface, once for all
  setFocusPolicy(Qt::StrongFocus);
  setMouseTracking(true);
  setAccessibleName(tr("Expert load map"));
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
  connect(&model, &QAbstractItemModel::dataChanged, this, [this] {
    summarise();
    update();
  });
  connect(&model, &QAbstractItemModel::modelReset, this, &HeatMap::modelReset);
  summarise();
}

// Another shape: a cursor outside of it has no cell.
void HeatMap::modelReset() {
  if (m_cursor &&
      (m_cursor->first >= m_model.rowCount() || m_cursor->second >= m_model.columnCount()))
    m_cursor.reset();
  QAccessibleTableModelChangeEvent reset(this, QAccessibleTableModelChangeEvent::ModelReset);
  QAccessible::updateAccessibility(&reset);
  summarise();
  update();
}

void HeatMap::summarise() {
  if (m_model.numLayers() == 0) {
    setAccessibleDescription(tr("No expert loads recorded"));
    return;
  }
  int worst = 0, dead = 0;
  for (int row = 0; row < m_model.numLayers(); ++row) {
    if (m_model.maxOverMean(row) > m_model.maxOverMean(worst)) worst = row;
    for (int e = 0; e < m_model.numExperts(); ++e)
      dead += m_model.ratio(row, e) == 0 ? 1 : 0;
  }
  setAccessibleDescription(
      tr("%1 layers by %2 experts; worst is layer %3 with max / mean %4; %5 dead")
          .arg(m_model.numLayers())
          .arg(m_model.numExperts())
          .arg(m_model.layer(worst))
          .arg(m_model.maxOverMean(worst), 0, 'f', 2)
          .arg(dead));
}

QRectF HeatMap::mapArea() const {
  return QRectF(rect()).adjusted(62, 4, -kMarginGap - kMarginRoom, -52);
}

std::optional<std::pair<int, int>> HeatMap::cellAt(const QPointF& position) const {
  const QRectF map = mapArea();
  const int layers = m_model.numLayers(), experts = m_model.numExperts();
  if (layers == 0 || experts == 0 || position.y() < map.top() || position.y() >= map.bottom() ||
      position.x() < map.left() || position.x() >= map.right() + kMarginGap + kMarginRoom)
    return std::nullopt;
  const int row = static_cast<int>((position.y() - map.top()) / map.height() * layers);
  if (position.x() >= map.right()) return std::pair{row, experts};
  return std::pair{row, static_cast<int>((position.x() - map.left()) / map.width() * experts)};
}

QRectF HeatMap::cellRect(int row, int column) const {
  const QRectF map = mapArea();
  const double height = map.height() / m_model.numLayers();
  const double width = map.width() / m_model.numExperts();
  const double top = map.top() + row * height;
  return column == m_model.numExperts() ? QRectF(map.right() + kMarginGap, top, kMarginRoom, height)
                                        : QRectF(map.left() + column * width, top, width, height);
}

QImage HeatMap::render(const QSize& size) const {
  QImage image(size, QImage::Format_RGB32);
  const int layers = m_model.numLayers(), experts = m_model.numExperts();
  // A pixel takes the expert farthest from 1x among those it covers.
  std::vector<QRgb> row(static_cast<std::size_t>(size.width()));
  int shownLayer = -1;
  for (int y = 0; y < size.height(); ++y) {
    const int layer = std::min(layers - 1, y * layers / size.height());
    if (layer != shownLayer) {
      shownLayer = layer;
      for (int x = 0; x < size.width(); ++x) {
        const int from = x * experts / size.width();
        const int to = std::max(from + 1, (x + 1) * experts / size.width());
        double shown = m_model.ratio(layer, from);
        for (int e = from + 1; e < std::min(to, experts); ++e) {
          const double ratio = m_model.ratio(layer, e);
          if (std::abs(logRatio(ratio)) > std::abs(logRatio(shown))) shown = ratio;
        }
        row[static_cast<std::size_t>(x)] = expertColor(shown);
      }
    }
    std::copy(row.begin(), row.end(), reinterpret_cast<QRgb*>(image.scanLine(y)));
  }
  return image;
}

void HeatMap::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  QFont small = font();
  small.setPointSizeF(small.pointSizeF() * 0.86);
  painter.setFont(small);
  const QRectF map = mapArea();
  if (m_model.numLayers() == 0 || m_model.numExperts() == 0) {
    painter.setPen(theme().muted);
    painter.drawText(rect(), Qt::AlignCenter,
                     tr("no expert loads recorded: the model is dense, or no step was done yet"));
    return;
  }
  const double ratio = devicePixelRatioF();
  QImage image = render((map.size() * ratio).toSize());
  image.setDevicePixelRatio(ratio);
  painter.drawImage(map.topLeft(), image);
  const double cellHeight = map.height() / m_model.numLayers();
  const double cellWidth = map.width() / m_model.numExperts();
  if (cellWidth >= 8 && cellHeight >= 6) {  // cells large enough for lines between them
    painter.setPen(QPen(theme().panel, 1));
    for (int row = 1; row < m_model.numLayers(); ++row)
      painter.drawLine(QPointF(map.left(), map.top() + row * cellHeight),
                       QPointF(map.right(), map.top() + row * cellHeight));
    for (int e = 1; e < m_model.numExperts(); ++e)
      painter.drawLine(QPointF(map.left() + e * cellWidth, map.top()),
                       QPointF(map.left() + e * cellWidth, map.bottom()));
  }
  paintDead(painter, map);
  painter.setPen(theme().muted);
  const int every = std::max(1, static_cast<int>(std::ceil(14 / cellHeight)));
  for (int row = 0; row < m_model.numLayers(); row += every) {
    painter.drawText(
        QRectF(0, map.top() + row * cellHeight, map.left() - 6, std::max(cellHeight, 12.0)),
        Qt::AlignRight | (cellHeight > 12 ? Qt::AlignVCenter : Qt::AlignTop),
        tr("layer %1").arg(m_model.layer(row)));
  }
  paintMarginals(painter, map);
  paintScale(painter, map);
  if (m_cursor && hasFocus()) {
    const QRectF cell = cellRect(m_cursor->first, m_cursor->second);
    painter.setPen(QPen(theme().text, 2));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(QRectF(cell.topLeft(), cell.size().expandedTo({kMinCursor, kMinCursor})));
  }
  if (hasFocus()) {
    painter.setPen(QPen(theme().accent, 1));
    painter.setBrush(Qt::NoBrush);
    painter.drawRect(map.adjusted(-2, -2, 1, 1));
  }
}

void HeatMap::paintDead(QPainter& painter, const QRectF& map) const {
  const double h = map.height() / m_model.numLayers(), w = map.width() / m_model.numExperts();
  for (int row = 0; row < m_model.numLayers(); ++row) {
    for (int e = 0; e < m_model.numExperts(); ++e) {
      if (m_model.ratio(row, e) != 0) continue;
      painter.fillRect(
          QRectF(map.left() + e * w, map.top() + row * h, std::max(1.0, w), std::max(1.0, h)),
          QBrush(theme().critical, Qt::DiagCrossPattern));
    }
  }
}

void HeatMap::paintMarginals(QPainter& painter, const QRectF& map) const {
  const Theme& colors = theme();
  const double h = map.height() / m_model.numLayers(), w = map.width() / m_model.numExperts();
  const double left = map.right() + kMarginGap, room = kMarginBar, full = 4;  // a full bar is 4x
  for (int row = 0; row < m_model.numLayers(); ++row) {
    const double value = m_model.maxOverMean(row);
    if (std::isnan(value)) continue;
    const QRectF bar(left, map.top() + row * h + (h > 6 ? 1 : 0),
                     room * std::min(value / full, 1.0), h > 6 ? h - 2 : h);
    painter.fillRect(bar, value >= kHotMean ? colors.high : colors.low);
    if (h >= 11) {
      painter.setPen(colors.text);
      painter.drawText(QRectF(left + room - 6, map.top() + row * h, 40, h),
                       Qt::AlignRight | Qt::AlignVCenter,
                       QString::number(value, 'f', 1) + QStringLiteral("×"));
    }
  }
  painter.setPen(colors.muted);
  painter.drawText(QRectF(left, map.bottom() + 2, kMarginRoom, 14), Qt::AlignLeft,
                   tr("max / mean"));
  const double base = map.bottom() + 20, height = 16;
  for (int e = 0; e < m_model.numExperts(); ++e) {
    const double value = m_model.expertMean(e);
    if (std::isnan(value)) continue;
    const double tall = height * std::min(value / 2, 1.0);  // a full bar is 2x
    painter.fillRect(
        QRectF(map.left() + e * w, base - tall, std::max(1.0, w - (w > 3 ? 1 : 0)), tall),
        colors.idle);
  }
  painter.drawText(QRectF(0, base - height, map.left() - 6, height),
                   Qt::AlignRight | Qt::AlignVCenter, tr("mean"));
}

void HeatMap::paintScale(QPainter& painter, const QRectF& map) const {
  const QRectF bar(map.left(), map.bottom() + 28, std::min(180.0, map.width() * 0.5), 9);
  for (int x = 0; x < static_cast<int>(bar.width()); ++x) {
    const double at = (x / bar.width() * 2 - 1) * kRange;
    painter.fillRect(QRectF(bar.left() + x, bar.top(), 1.5, bar.height()),
                     QColor(expertColor(std::exp2(at))));
  }
  painter.setPen(theme().muted);
  const QStringList labels = {QStringLiteral("¼×"), QStringLiteral("½×"), QStringLiteral("1×"),
                              QStringLiteral("2×"), QStringLiteral("4×")};
  for (int i = 0; i < labels.size(); ++i)
    painter.drawText(QRectF(bar.left() + bar.width() * i / 4 - 20, bar.bottom() + 1, 40, 13),
                     Qt::AlignCenter, labels[i]);
  painter.drawText(QRectF(bar.right() + 24, bar.top() - 4, map.right() + 80 - bar.right(), 16),
                   Qt::AlignLeft | Qt::AlignVCenter,
                   tr("load / ideal, log₂  ·  step %1  ·  %2 experts")
                       .arg(m_model.step())
                       .arg(m_model.numExperts()));
}

}  // namespace tera::gui
