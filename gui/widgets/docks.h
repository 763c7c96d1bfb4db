// The panels below and beside the pages: Problems, and Explain (the terms of the estimate).
#pragma once
#include <QTableView>
#include <QTreeView>

#include "gui/models/diagnostic_model.h"
#include "gui/models/term_tree_model.h"

namespace tera::gui {

class Session;

// Findings of validation; Enter or a double-click goes to the field.
class ProblemsPanel : public QWidget {
  Q_OBJECT
 public:
  explicit ProblemsPanel(Session& session, QWidget* parent = nullptr);
  DiagnosticModel& model() { return m_model; }
  void step(int by);  // F8, Shift+F8: the next or previous one, and go to it

 signals:
  void fieldRequested(const std::string& path, int line);
  void countChanged(int errors, int warnings);

 private:
  void go(const QModelIndex& index);
  DiagnosticModel m_model;
  QTableView* m_table;
};

// Every number of the estimate with its formula, inputs and source.
class ExplainPanel : public QWidget {
  Q_OBJECT
 public:
  explicit ExplainPanel(Session& session, QWidget* parent = nullptr);
  void showTerm(const QString& path);
  TermTreeModel& model() { return m_model; }

 private:
  TermTreeModel m_model;
  QTreeView* m_tree;
};

// Parameters, memory of the worst stage, step time and cost as one forest of terms.
std::vector<plan::Term> explainedTerms(const Session& session);

}  // namespace tera::gui
