// TableModel: a read-only table over a vector of rows: what most models here are. A subclass names
// its columns and says what a cell shows.
#pragma once
#include <utility>
#include <vector>

#include <QAbstractTableModel>
#include <QStringList>

namespace tera::gui {

template <class Row>
class TableModel : public QAbstractTableModel {
 public:
  TableModel(QStringList headers, QObject* parent)
      : QAbstractTableModel(parent), m_headers(std::move(headers)) {}

  int rowCount(const QModelIndex& parent = {}) const override {
    return parent.isValid() ? 0 : static_cast<int>(m_rows.size());
  }
  int columnCount(const QModelIndex& parent = {}) const override {
    return parent.isValid() ? 0 : static_cast<int>(m_headers.size());
  }
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override {
    if (role != Qt::DisplayRole || section < 0) return {};
    if (orientation == Qt::Vertical) return section + 1;
    return section < m_headers.size() ? QVariant(m_headers.at(section)) : QVariant();
  }
  QVariant data(const QModelIndex& index, int role) const override {
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    return cell(row(index.row()), index.column(), role);
  }
  const Row& row(int i) const { return m_rows[static_cast<std::size_t>(i)]; }
  const std::vector<Row>& rows() const { return m_rows; }

  // Keeps rows that did not change, so that selection and scroll position stay.
  void setRows(std::vector<Row> rows) {
    const int before = rowCount();
    const int after = static_cast<int>(rows.size());
    const int common = std::min(before, after);
    if (after < before) {
      beginRemoveRows({}, after, before - 1);
      m_rows.resize(rows.size());
      endRemoveRows();
    } else if (after > before) {
      beginInsertRows({}, before, after - 1);
      m_rows.insert(m_rows.end(), rows.begin() + before, rows.end());
      endInsertRows();
    }
    for (int i = 0; i < common; ++i)
      m_rows[static_cast<std::size_t>(i)] = std::move(rows[static_cast<std::size_t>(i)]);
    if (common > 0) emit dataChanged(index(0, 0), index(common - 1, columnCount() - 1));
  }
  void appendRows(std::vector<Row> rows) {
    if (rows.empty()) return;
    const int before = rowCount();
    beginInsertRows({}, before, before + static_cast<int>(rows.size()) - 1);
    m_rows.insert(m_rows.end(), std::make_move_iterator(rows.begin()),
                  std::make_move_iterator(rows.end()));
    endInsertRows();
  }
  void removeFirst(int count) {
    if (count <= 0) return;
    beginRemoveRows({}, 0, count - 1);
    m_rows.erase(m_rows.begin(), m_rows.begin() + count);
    endRemoveRows();
  }

 protected:
  virtual QVariant cell(const Row& row, int column, int role) const = 0;

 private:
  QStringList m_headers;
  std::vector<Row> m_rows;
};

}  // namespace tera::gui
