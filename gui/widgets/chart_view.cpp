#include "gui/widgets/chart_view.h"

#include <QKeyEvent>
#include <QStackedLayout>

#include "gui/widgets/read_table.h"

namespace tera::gui {

ChartView::ChartView(const QString& title,
                     const QString& unit,
                     MetricSeriesModel& model,
                     std::vector<Curve> curves,
                     QWidget* parent)
    : Card(unit.isEmpty() ? title : tr("%1 (%2)").arg(title, unit), parent) {
  m_plot = new PlotView(model, std::move(curves), this);
  m_plot->setAccessibleName(tr("Chart of %1").arg(title));
  m_plot->setToolTip(
      tr("Wheel zooms, drag pans, Ctrl+drag zooms a box, 0 fits, F follows,\nL log scale, E "
         "smoothing, arrows read values, Ctrl+T table"));
  m_table = new ReadTable(&model, tr("Table of %1").arg(title));
  m_readout = new ElidedLabel;
  m_readout->setFont(scaledFont(*this, 0.92));
  header()->addWidget(m_readout);
  auto* host = new QWidget;
  m_stack = new QStackedLayout(host);
  m_stack->addWidget(m_plot);
  m_stack->addWidget(m_table);
  body()->addWidget(host, 1);
  connect(m_plot, &PlotView::readoutChanged, m_readout, &QLabel::setText);
}

void ChartView::showTable(bool on) {
  m_stack->setCurrentIndex(on ? 1 : 0);
  m_stack->currentWidget()->setFocus();
}

bool ChartView::tableShown() const {
  return m_stack->currentIndex() == 1;
}

void ChartView::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_T && event->modifiers() == Qt::ControlModifier) {
    showTable(!tableShown());
    return;
  }
  Card::keyPressEvent(event);
}

}  // namespace tera::gui
