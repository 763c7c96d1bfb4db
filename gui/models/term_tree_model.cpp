#include "gui/models/term_tree_model.h"

#include "core/base/units.h"
#include "gui/text.h"

namespace tera::gui {

TermTreeModel::TermTreeModel(QObject* parent) : QAbstractItemModel(parent) {}

void TermTreeModel::setTerms(std::vector<plan::Term> terms) {
  if (sameShape(m_terms, terms)) {
    m_terms = std::move(terms);
    link(m_root, m_terms);
    changed({});
    return;
  }
  beginResetModel();
  m_terms = std::move(terms);
  m_root.children.clear();
  link(m_root, m_terms);
  endResetModel();
}

bool TermTreeModel::sameShape(const std::vector<plan::Term>& a, const std::vector<plan::Term>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].label != b[i].label || !sameShape(a[i].children, b[i].children)) return false;
  }
  return true;
}

// Points the nodes at `terms`, making those that are missing; nodes that exist keep their address.
void TermTreeModel::link(Node& node, const std::vector<plan::Term>& terms) {
  for (std::size_t i = node.children.size(); i < terms.size(); ++i) {
    auto child = std::make_unique<Node>();
    child->parent = &node;
    child->row = static_cast<int>(i);
    node.children.push_back(std::move(child));
  }
  for (std::size_t i = 0; i < terms.size(); ++i) {
    node.children[i]->term = &terms[i];
    link(*node.children[i], terms[i].children);
  }
}

void TermTreeModel::changed(const QModelIndex& parent) {
  const int rows = rowCount(parent);
  if (rows == 0) return;
  emit dataChanged(index(0, 0, parent), index(rows - 1, NumColumns - 1, parent));
  for (int row = 0; row < rows; ++row)
    changed(index(row, 0, parent));
}

QModelIndex TermTreeModel::find(const QString& path) const {
  QModelIndex at;
  const QStringList labels = path.split('/');
  for (const QString& label : labels) {
    QModelIndex next;
    for (int row = 0; row < rowCount(at) && !next.isValid(); ++row) {
      const QModelIndex child = index(row, 0, at);
      if (qs(nodeAt(child).term->label) == label) next = child;
    }
    if (!next.isValid()) return {};
    at = next;
  }
  return at;
}

const TermTreeModel::Node& TermTreeModel::nodeAt(const QModelIndex& index) const {
  return index.isValid() ? *static_cast<const Node*>(index.internalPointer()) : m_root;
}

QModelIndex TermTreeModel::index(int row, int column, const QModelIndex& parent) const {
  if (!hasIndex(row, column, parent)) return {};
  const Node* child = nodeAt(parent).children[static_cast<std::size_t>(row)].get();
  return createIndex(row, column, child);
}

QModelIndex TermTreeModel::parent(const QModelIndex& child) const {
  if (!child.isValid()) return {};
  const Node* parent = nodeAt(child).parent;
  return parent == nullptr || parent == &m_root ? QModelIndex()
                                                : createIndex(parent->row, 0, parent);
}

int TermTreeModel::rowCount(const QModelIndex& parent) const {
  return parent.column() > 0 ? 0 : static_cast<int>(nodeAt(parent).children.size());
}

int TermTreeModel::columnCount(const QModelIndex&) const {
  return NumColumns;
}

QVariant TermTreeModel::data(const QModelIndex& index, int role) const {
  if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
  const plan::Term& term = *nodeAt(index).term;
  if (role == Qt::TextAlignmentRole && index.column() == ValueColumn)
    return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
  if (role == Qt::ToolTipRole)
    return qs(term.formula + (term.source.empty() ? "" : "\n" + term.source));
  if (role != Qt::DisplayRole) return {};
  switch (index.column()) {
    case LabelColumn:
      return qs(term.label);
    case ValueColumn:
      return qs(format_quantity(term.value, term.unit));
    case OriginColumn:
      return qs(enum_name(term.origin));
    case FormulaColumn:
      return qs(term.formula);
    case SourceColumn:
      return qs(term.source);
    default:
      return {};
  }
}

QVariant TermTreeModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (orientation != Qt::Horizontal || role != Qt::DisplayRole) return {};
  switch (section) {
    case LabelColumn:
      return tr("Term");
    case ValueColumn:
      return tr("Value");
    case OriginColumn:
      return tr("Origin");
    case FormulaColumn:
      return tr("Formula with its inputs");
    case SourceColumn:
      return tr("Source");
    default:
      return {};
  }
}

}  // namespace tera::gui
