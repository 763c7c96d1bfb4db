#include "gui/widgets/attention_panel.h"

#include <algorithm>

#include <QHeaderView>

#include "gui/text.h"
#include "gui/widgets/read_table.h"

namespace tera::gui {

AttentionPanel::AttentionPanel(QWidget* parent) : Card(tr("Needs attention"), parent) {
  m_allWell = new ToneLabel;
  m_allWell->setWordWrap(true);
  body()->addWidget(m_allWell);
  m_table = new ReadTable(&m_model, tr("Needs attention"));
  m_table->hideColumn(DiagnosticModel::LineColumn);
  m_table->hideColumn(DiagnosticModel::HintColumn);
  QHeaderView* header = m_table->horizontalHeader();
  header->hide();
  header->setStretchLastSection(false);
  header->setSectionResizeMode(DiagnosticModel::MessageColumn, QHeaderView::Stretch);
  for (const int column : {DiagnosticModel::SeverityColumn, DiagnosticModel::FieldColumn})
    header->setSectionResizeMode(column, QHeaderView::ResizeToContents);
  body()->addWidget(m_table, 1);
  m_advice = new ToneLabel;
  m_advice->setWordWrap(true);
  body()->addWidget(m_advice);
  body()->addStretch(0);
  connect(m_table->selectionModel(), &QItemSelectionModel::currentChanged, this,
          &AttentionPanel::showAdvice);
  clear();
}

void AttentionPanel::setFindings(std::vector<Diagnostic> found,
                                 const QString& allWell,
                                 ToneLabel::Tone tone) {
  m_table->setVisible(!found.empty());
  m_allWell->setVisible(found.empty());
  m_allWell->setText(allWell);
  m_allWell->setTone(tone);
  m_model.setDiagnostics(std::move(found));
  showAdvice();
}

// About the selected finding, or about the first.
void AttentionPanel::showAdvice() {
  const int row = std::max(0, m_table->currentIndex().row());
  const bool any = row < m_model.rowCount() && !m_model.row(row).hint.empty();
  m_advice->setVisible(any);
  m_advice->setText(any ? tr("→ %1").arg(qs(m_model.row(row).hint)) : QString());
}

QString AttentionPanel::advice() const {
  return m_advice->text();
}

}  // namespace tera::gui
