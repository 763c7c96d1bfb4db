// PlotView: colours, and what is painted over the lines: markers, reference, crosshair, legend.
#include <algorithm>
#include <cmath>

#include <QChart>
#include <QLogValueAxis>
#include <QPainter>
#include <QValueAxis>

#include "gui/theme.h"
#include "gui/widgets/plot_view.h"

namespace tera::gui {
namespace {
constexpr double kMarkWidth = 8;
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
    const double width = std::min(painter->fontMetrics().horizontalAdvance(m_referenceLabel) + 6.0,
                                  area.width() - 8);
    const QRectF label(area.left() + 4, under ? y + 2 : y - 17, width, 15);
    QColor ground = colors.panel;  // keeps the words readable over the lines
    ground.setAlpha(200);
    painter->fillRect(label, ground);
    painter->drawText(label, Qt::AlignCenter, m_referenceLabel);
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
