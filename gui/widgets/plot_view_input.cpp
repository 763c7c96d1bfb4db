// PlotView: mouse, keyboard, crosshair.
#include <algorithm>
#include <cmath>

#include <QAccessible>
#include <QEvent>
#include <QKeyEvent>
#include <QMouseEvent>

#include "gui/widgets/plot_view.h"

namespace tera::gui {

void PlotView::wheelEvent(QWheelEvent* event) {
  const double factor = std::pow(0.999, event->angleDelta().y() + event->angleDelta().x());
  if ((event->modifiers() & Qt::ShiftModifier) != 0 && !m_logY) {
    Window window = m_shown;
    const double center = dataY(event->position().y());
    window.y = std::pair{center + (m_shown.y->first - center) * factor,
                         center + (m_shown.y->second - center) * factor};
    setWindow(window);
  } else {
    zoomX(factor, dataX(event->position().x()));
  }
  event->accept();
}

void PlotView::mousePressEvent(QMouseEvent* event) {
  setFocus(Qt::MouseFocusReason);
  if (event->button() == Qt::BackButton) {
    QKeyEvent back(QEvent::KeyPress, Qt::Key_Backspace, Qt::NoModifier);
    keyPressEvent(&back);
    return;
  }
  if (event->button() != Qt::LeftButton) return;
  m_dragFrom = event->pos();
  m_dragAt = event->pos();
  m_boxing = (event->modifiers() & Qt::ControlModifier) != 0;
}

void PlotView::mouseMoveEvent(QMouseEvent* event) {
  if (m_dragFrom && !m_boxing && event->pos() != m_dragAt) {
    Window window = shownWindow();
    const double shift = dataX(m_dragAt.x()) - dataX(event->pos().x());
    window.x0 += shift;
    window.x1 += shift;
    if (!m_window) m_history.push_back(shownWindow());
    m_follow = false;
    m_window = window;
    schedule();
  }
  m_dragAt = event->pos();
  if (!m_dragFrom && !m_pinned) moveCrosshair(dataX(event->position().x()));
  viewport()->update();
}

void PlotView::mouseReleaseEvent(QMouseEvent*) {
  if (m_dragFrom && m_boxing) {
    const QRect box = QRect(*m_dragFrom, m_dragAt).normalized();
    if (box.width() > 4 && box.height() > 4) {
      Window window{dataX(box.left()), dataX(box.right()),
                    std::pair{dataY(box.bottom()), dataY(box.top())}};
      setWindow(window);
    }
  }
  m_dragFrom.reset();
  m_boxing = false;
  viewport()->update();
}

void PlotView::keyPressEvent(QKeyEvent* event) {
  const double center = m_crosshair.value_or((m_shown.x0 + m_shown.x1) / 2);
  switch (event->key()) {
    case Qt::Key_0:
      fit();
      return;
    case Qt::Key_F:
      m_follow = !m_follow;
      if (m_follow && !m_window) zoomX(0.25, m_shown.x1);
      schedule();
      return;
    case Qt::Key_L:
      setLogY(!m_logY);
      return;
    case Qt::Key_E:
      emit smoothingRequested();
      return;
    case Qt::Key_C:
      m_pinned = !m_pinned && m_crosshair.has_value();
      return;
    case Qt::Key_Backspace:
      if (m_history.empty()) {
        fit();
      } else {
        m_window = m_history.back();
        m_history.pop_back();
        schedule();
      }
      return;
    case Qt::Key_Plus:
    case Qt::Key_Equal:
      zoomX(0.7, center);
      return;
    case Qt::Key_Minus:
      zoomX(1 / 0.7, center);
      return;
    case Qt::Key_Left:
      stepCrosshair(-1);
      return;
    case Qt::Key_Right:
      stepCrosshair(1);
      return;
    default:
      event->ignore();  // Tab, Ctrl+T and the window's shortcuts
  }
}

void PlotView::leaveEvent(QEvent* event) {
  if (!m_pinned) {
    m_crosshair.reset();
    m_readout.clear();
    emit readoutChanged({});
    viewport()->update();
  }
  QChartView::leaveEvent(event);
}

void PlotView::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange) recolor();
  QChartView::changeEvent(event);
}

void PlotView::stepCrosshair(int samples) {
  const run::MetricPyramid& raw = m_model.raw(m_lines.front().curve.metric);
  if (raw.size() == 0) return;
  std::int64_t at = samples > 0 ? -1 : raw.size();
  if (m_crosshair) {
    std::int64_t from = 0, to = raw.size() - 1;
    while (from < to) {  // first sample at or after the crosshair
      const std::int64_t middle = (from + to) / 2;
      if (raw.x(middle) < *m_crosshair) {
        from = middle + 1;
      } else {
        to = middle;
      }
    }
    at = from;
  }
  at = std::clamp<std::int64_t>(at + samples, 0, raw.size() - 1);
  m_pinned = true;
  moveCrosshair(raw.x(at));
  setAccessibleDescription(m_readout);
  QAccessibleEvent spoken(this, QAccessible::DescriptionChanged);
  QAccessible::updateAccessibility(&spoken);
}

// Snaps to the sample nearest to x of the first curve and says the values there.
void PlotView::moveCrosshair(double x) {
  QStringList words;
  bool snapped = false;
  for (const Line& line : m_lines) {
    const run::MetricPyramid& raw = m_model.raw(line.curve.metric);
    if (raw.size() == 0) continue;
    std::int64_t from = 0, to = raw.size() - 1;
    while (from < to) {
      const std::int64_t middle = (from + to) / 2;
      if (raw.x(middle) < x) {
        from = middle + 1;
      } else {
        to = middle;
      }
    }
    if (from > 0 && std::abs(raw.x(from - 1) - x) < std::abs(raw.x(from) - x)) --from;
    if (!snapped) m_crosshair = raw.x(from);
    snapped = true;
    const QString name = line.curve.name.isEmpty() ? QString() : line.curve.name + QLatin1Char(' ');
    words << QStringLiteral("%1%2").arg(name, QString::number(raw.y(from), 'g', 5));
    if (words.size() == 1)
      words.prepend(QStringLiteral("@ %1").arg(QString::number(raw.x(from), 'g', 8)));
  }
  if (!snapped) return;
  m_readout = words.join(QStringLiteral("  "));
  emit readoutChanged(m_readout);
  viewport()->update();
}

}  // namespace tera::gui
