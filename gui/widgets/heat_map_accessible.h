// The heat map for screen readers: a table with one row per MoE layer and one column per expert,
// then max / mean. Cells say what describe() says and lie where they are painted; the cursor is the
// selected cell and, with the keyboard in the map, the focused one.
#pragma once
#include <QAccessibleWidget>
#include <QHash>

#include "gui/widgets/heat_map.h"

namespace tera::gui {

class HeatMapAccessible : public QAccessibleWidget, public QAccessibleTableInterface {
 public:
  // Makes Qt find this class for every HeatMap; further calls do nothing.
  static void install();

  explicit HeatMapAccessible(HeatMap* map);
  ~HeatMapAccessible() override;

  void* interface_cast(QAccessible::InterfaceType type) override;
  int childCount() const override;  // row by row
  QAccessibleInterface* child(int index) const override;
  int indexOfChild(const QAccessibleInterface* child) const override;
  QAccessibleInterface* childAt(int x, int y) const override;
  QAccessibleInterface* focusChild() const override;

  QAccessibleInterface* caption() const override { return nullptr; }
  QAccessibleInterface* summary() const override { return nullptr; }
  QAccessibleInterface* cellAt(int row, int column) const override;
  int rowCount() const override;
  int columnCount() const override;
  QString rowDescription(int row) const override;
  QString columnDescription(int column) const override;
  int selectedCellCount() const override;
  QList<QAccessibleInterface*> selectedCells() const override;
  void modelChange(QAccessibleTableModelChangeEvent* event) override;

  // One cell is selected, never a whole row or column.
  int selectedRowCount() const override { return 0; }
  int selectedColumnCount() const override { return 0; }
  QList<int> selectedRows() const override { return {}; }
  QList<int> selectedColumns() const override { return {}; }
  bool isRowSelected(int) const override { return false; }
  bool isColumnSelected(int) const override { return false; }
  bool selectRow(int) override { return false; }
  bool selectColumn(int) override { return false; }
  bool unselectRow(int) override { return false; }
  bool unselectColumn(int) override { return false; }

 private:
  HeatMap& map() const;
  void forgetCells();
  mutable QHash<std::pair<int, int>, QAccessible::Id> m_cells;  // those that were asked for
};

}  // namespace tera::gui
