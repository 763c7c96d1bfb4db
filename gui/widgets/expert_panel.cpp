#include "gui/widgets/expert_panel.h"

#include <QHeaderView>
#include <QKeyEvent>
#include <QStackedLayout>
#include <QToolButton>

#include "gui/icons.h"
#include "gui/widgets/heat_map.h"
#include "gui/widgets/read_table.h"

namespace tera::gui {

ExpertPanel::ExpertPanel(ExpertLoadModel& model, QWidget* parent)
    : Card(tr("Expert load, MoE layers × experts"), parent) {
  auto* host = new QWidget;
  m_stack = new QStackedLayout(host);
  m_map = new HeatMap(model);
  m_stack->addWidget(m_map);
  auto* table = new ReadTable(&model, tr("Expert load table"));
  table->verticalHeader()->show();
  table->horizontalHeader()->setStretchLastSection(false);
  table->setSelectionBehavior(QAbstractItemView::SelectItems);
  m_stack->addWidget(table);
  m_asTable = new QToolButton;
  m_asTable->setIcon(themedIcon("table"));
  m_asTable->setCheckable(true);
  m_asTable->setAutoRaise(true);
  m_asTable->setFocusPolicy(Qt::StrongFocus);
  m_asTable->setAccessibleName(tr("Expert load as a table"));
  m_asTable->setToolTip(tr("Show as a table (Ctrl+T)"));
  connect(m_asTable, &QToolButton::toggled, this,
          [this](bool on) { m_stack->setCurrentIndex(on ? 1 : 0); });
  header()->addWidget(m_asTable);
  body()->addWidget(host, 1);
}

bool ExpertPanel::tableShown() const {
  return m_stack->currentIndex() == 1;
}

void ExpertPanel::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_T && event->modifiers() == Qt::ControlModifier) {
    m_asTable->toggle();
    m_stack->currentWidget()->setFocus();
    return;
  }
  Card::keyPressEvent(event);
}

}  // namespace tera::gui
