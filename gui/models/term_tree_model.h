// TermTreeModel: an estimate's terms as a tree: what, value, formula with its inputs, source,
// and whether the value was measured, rests on fitted values or follows from formulas.
#pragma once
#include <memory>
#include <vector>

#include <QAbstractItemModel>

#include "core/plan/term.h"

namespace tera::gui {

class TermTreeModel : public QAbstractItemModel {
  Q_OBJECT
 public:
  enum Column { LabelColumn, ValueColumn, OriginColumn, FormulaColumn, SourceColumn, NumColumns };
  explicit TermTreeModel(QObject* parent = nullptr);

  // Same shape as before: values change in place, so that expanded lines stay expanded.
  void setTerms(std::vector<plan::Term> terms);
  // The line at labels joined by '/', such as "memory/activations"; invalid when there is none.
  QModelIndex find(const QString& path) const;

  QModelIndex index(int row, int column, const QModelIndex& parent = {}) const override;
  QModelIndex parent(const QModelIndex& child) const override;
  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

 private:
  struct Node {
    const plan::Term* term = nullptr;
    Node* parent = nullptr;
    int row = 0;
    std::vector<std::unique_ptr<Node>> children;
  };
  static void link(Node& node, const std::vector<plan::Term>& terms);
  static bool sameShape(const std::vector<plan::Term>& a, const std::vector<plan::Term>& b);
  void changed(const QModelIndex& parent);
  const Node& nodeAt(const QModelIndex& index) const;

  std::vector<plan::Term> m_terms;
  Node m_root;
};

}  // namespace tera::gui
