#include "gui/widgets/parts_bar.h"

#include <algorithm>

#include <QHelpEvent>
#include <QPainter>
#include <QToolTip>

#include "core/base/units.h"
#include "gui/text.h"
#include "gui/theme.h"

namespace tera::gui {
namespace {

double sumOf(const std::vector<BarPart>& parts) {
  double sum = 0;
  for (const BarPart& part : parts)
    sum += part.value;
  return sum;
}

}  // namespace

Qt::BrushStyle hatchOf(int i) {
  constexpr Qt::BrushStyle kStyles[] = {Qt::NoBrush,      Qt::BDiagPattern, Qt::NoBrush,
                                        Qt::FDiagPattern, Qt::VerPattern,   Qt::DiagCrossPattern};
  return kStyles[i % 6];
}

void paintPart(QPainter& painter, const QRectF& rect, const QColor& color, int i) {
  painter.fillRect(rect, color);
  const Qt::BrushStyle hatch = hatchOf(i);
  if (hatch == Qt::NoBrush) return;
  QColor ink = color.lightness() > 128 ? QColor(0, 0, 0, 60) : QColor(255, 255, 255, 60);
  painter.fillRect(rect, QBrush(ink, hatch));
}

PartsBar::PartsBar(const QString& accessibleName, QWidget* parent) : QWidget(parent) {
  setAccessibleName(accessibleName);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
}

void PartsBar::setParts(std::vector<BarPart> parts) {
  m_parts = std::move(parts);
  QStringList words;
  const double total = std::max(1e-300, sumOf(m_parts));
  for (const BarPart& part : m_parts)
    words << QStringLiteral("%1 %2 (%3)")
                 .arg(part.name, part.text, qs(format_percent(part.value / total)));
  setAccessibleDescription(words.join(QStringLiteral(", ")));
  update();
}

void PartsBar::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const QRectF area = QRectF(rect()).adjusted(0, 2, 0, -2);
  painter.fillRect(area, theme().raised);
  const double total = sumOf(m_parts);
  if (total <= 0) return;
  double left = area.left();
  for (std::size_t i = 0; i < m_parts.size(); ++i) {
    const double width = area.width() * m_parts[i].value / total;
    paintPart(painter, QRectF(left, area.top(), std::max(0.0, width - 1), area.height()),
              m_parts[i].color, static_cast<int>(i));
    left += width;
  }
}

bool PartsBar::event(QEvent* event) {
  if (event->type() != QEvent::ToolTip) return QWidget::event(event);
  const auto* help = static_cast<QHelpEvent*>(event);
  const double total = sumOf(m_parts);
  double left = 0;
  for (const BarPart& part : m_parts) {
    left += total > 0 ? width() * part.value / total : 0;
    if (help->pos().x() > left) continue;
    QToolTip::showText(help->globalPos(),
                       QStringLiteral("%1: %2 (%3)")
                           .arg(part.name, part.text, qs(format_percent(part.value / total))));
    break;
  }
  return true;
}

}  // namespace tera::gui
