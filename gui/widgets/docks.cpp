#include "gui/widgets/docks.h"

#include <QHeaderView>
#include <QVBoxLayout>

#include "gui/models/param_model.h"
#include "gui/session.h"
#include "gui/text.h"
#include "gui/widgets/read_table.h"

namespace tera::gui {

ProblemsPanel::ProblemsPanel(Session& session, QWidget* parent) : QWidget(parent) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  m_table = new ReadTable(&m_model, tr("Problems"));
  m_table->setColumnWidth(DiagnosticModel::SeverityColumn, 90);
  m_table->setColumnWidth(DiagnosticModel::FieldColumn, 230);
  m_table->setColumnWidth(DiagnosticModel::MessageColumn, 460);
  m_table->setColumnWidth(DiagnosticModel::HintColumn, 330);
  layout->addWidget(m_table);
  connect(m_table, &QTableView::activated, this, &ProblemsPanel::go);
  const auto refresh = [this, &session] {
    m_model.setDiagnostics(session.document().diagnostics());
    emit countChanged(m_model.count(Severity::error), m_model.count(Severity::warning));
  };
  connect(&session.document(), &Document::diagnosticsChanged, this, refresh);
  refresh();
}

void ProblemsPanel::go(const QModelIndex& index) {
  if (!index.isValid()) return;
  const Diagnostic& found = m_model.row(index.row());
  emit fieldRequested(found.field, found.line);
}

void ProblemsPanel::step(int by) {
  const int count = m_model.rowCount();
  if (count == 0) return;
  const QModelIndex now = m_table->currentIndex();
  const int row = now.isValid() ? (now.row() + by + count) % count : (by > 0 ? 0 : count - 1);
  m_table->setCurrentIndex(m_model.index(row, 0));
  go(m_table->currentIndex());
}

std::vector<plan::Term> explainedTerms(const Session& session) {
  const plan::Estimate* estimate = session.estimate();
  if (estimate == nullptr) return {};
  ParamModel parts;
  parts.setCounts(estimate->params);
  std::vector<plan::Term> children;
  for (const ParamPart& part : parts.rows()) {
    children.push_back({.label = ss(part.name),
                        .value = part.count,
                        .unit = "",
                        .formula = "",
                        .source = "",
                        .children = {}});
  }
  plan::Term params = plan::sum_term("parameters", "", std::move(children));
  plan::Term memory =
      estimate->stages.empty()
          ? plan::Term{}
          : estimate->stages[static_cast<std::size_t>(estimate->worst_stage)].memory;
  plan::Term time = estimate->step_time;
  plan::Term cost = estimate->cost.terms;
  memory.formula = ss(ExplainPanel::tr("stages: %1; the fullest is stage %2")
                          .arg(estimate->stages.size())
                          .arg(estimate->worst_stage));
  memory.label = "memory";
  time.label = "step time";
  cost.label = "cost";
  return {std::move(params), std::move(memory), std::move(time), std::move(cost)};
}

ExplainPanel::ExplainPanel(Session& session, QWidget* parent) : QWidget(parent) {
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  m_tree = new QTreeView;
  m_tree->setModel(&m_model);
  m_tree->setAccessibleName(tr("Estimate explained"));
  m_tree->setFrameShape(QFrame::NoFrame);
  m_tree->setUniformRowHeights(true);
  m_tree->setEditTriggers(QAbstractItemView::NoEditTriggers);
  layout->addWidget(m_tree);
  const auto refresh = [this, &session] {
    const bool first = m_model.rowCount() == 0;
    m_model.setTerms(explainedTerms(session));
    if (first && m_model.rowCount() > 0) {
      m_tree->expandToDepth(0);
      m_tree->setColumnWidth(TermTreeModel::LabelColumn, 230);
      m_tree->setColumnWidth(TermTreeModel::ValueColumn, 120);
      m_tree->setColumnWidth(TermTreeModel::OriginColumn, 90);
      m_tree->setColumnWidth(TermTreeModel::FormulaColumn, 520);
    }
  };
  connect(&session, &Session::estimateChanged, this, refresh);
  refresh();
}

void ExplainPanel::showTerm(const QString& path) {
  const QModelIndex index = m_model.find(path);
  if (!index.isValid()) return;
  m_tree->expand(index);
  m_tree->setCurrentIndex(index);
  m_tree->scrollTo(index, QAbstractItemView::PositionAtTop);
}

}  // namespace tera::gui
