// HeatMap: cells under the mouse, the cursor of the keyboard, what is said about a cell.
#include <algorithm>
#include <cmath>

#include <QAccessible>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QToolTip>

#include "gui/widgets/heat_map.h"

namespace tera::gui {

QString HeatMap::describe(int row, int column) const {
  if (column == m_model.numExperts()) {
    return tr("Layer %1, max / mean: %2")
        .arg(m_model.layer(row))
        .arg(m_model.index(row, column).data().toString());
  }
  const double ratio = m_model.ratio(row, column);
  const QString load = std::isnan(ratio) ? tr("n/a")
                       : ratio == 0      ? tr("dead: no token")
                                         : tr("%1× the ideal load").arg(ratio, 0, 'f', 2);
  return tr("Layer %1, expert %2: %3").arg(m_model.layer(row)).arg(column).arg(load);
}

void HeatMap::mouseMoveEvent(QMouseEvent* event) {
  if (const auto cell = cellAt(event->position())) {
    QToolTip::showText(event->globalPosition().toPoint(), describe(cell->first, cell->second),
                       this);
  } else {
    QToolTip::hideText();
  }
}

void HeatMap::leaveEvent(QEvent* event) {
  QToolTip::hideText();
  QWidget::leaveEvent(event);
}

void HeatMap::focusInEvent(QFocusEvent* event) {
  if (!m_cursor && m_model.columnCount() > 0) m_cursor = std::pair{0, 0};
  QWidget::focusInEvent(event);
}

void HeatMap::keyPressEvent(QKeyEvent* event) {
  const auto [row, column] = m_cursor.value_or(std::pair{0, 0});
  switch (event->key()) {
    case Qt::Key_Left:
      return moveTo(row, column - 1);
    case Qt::Key_Right:
      return moveTo(row, column + 1);
    case Qt::Key_Up:
      return moveTo(row - 1, column);
    case Qt::Key_Down:
      return moveTo(row + 1, column);
    case Qt::Key_Home:
      return moveTo(row, 0);
    case Qt::Key_End:
      return moveTo(row, m_model.columnCount() - 1);
    default:
      QWidget::keyPressEvent(event);
  }
}

void HeatMap::moveTo(int row, int column) {
  if (m_model.rowCount() == 0 || m_model.columnCount() == 0) return;
  m_cursor = std::pair{std::clamp(row, 0, m_model.rowCount() - 1),
                       std::clamp(column, 0, m_model.columnCount() - 1)};
  const QString words = describe(m_cursor->first, m_cursor->second);
  setAccessibleDescription(words);
  QAccessibleEvent moved(this, QAccessible::Focus);
  moved.setChild(m_cursor->first * m_model.columnCount() + m_cursor->second);
  QAccessible::updateAccessibility(&moved);
  QToolTip::showText(mapToGlobal(cellRect(m_cursor->first, m_cursor->second).center().toPoint()),
                     words, this);
  update();
}

}  // namespace tera::gui
