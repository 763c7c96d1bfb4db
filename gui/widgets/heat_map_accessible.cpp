#include "gui/widgets/heat_map_accessible.h"

namespace tera::gui {
namespace {

class HeatMapCell : public QAccessibleInterface, public QAccessibleTableCellInterface {
 public:
  HeatMapCell(HeatMap& map, int row, int column) : m_map(map), m_row(row), m_column(column) {}

  bool isValid() const override {
    return m_row < m_map.model().rowCount() && m_column < m_map.model().columnCount();
  }
  QObject* object() const override { return nullptr; }
  QWindow* window() const override { return parent()->window(); }
  QAccessibleInterface* parent() const override {
    return QAccessible::queryAccessibleInterface(&m_map);
  }
  QAccessibleInterface* child(int) const override { return nullptr; }
  QAccessibleInterface* childAt(int, int) const override { return nullptr; }
  int childCount() const override { return 0; }
  int indexOfChild(const QAccessibleInterface*) const override { return -1; }
  QAccessible::Role role() const override { return QAccessible::Cell; }
  QRect rect() const override {
    const QRect cell = m_map.cellRect(m_row, m_column).toAlignedRect();
    return {m_map.mapToGlobal(cell.topLeft()), cell.size()};
  }
  QString text(QAccessible::Text kind) const override {
    if (!isValid()) return {};
    if (kind == QAccessible::Name) return m_map.describe(m_row, m_column);
    if (kind == QAccessible::Value) return m_map.model().index(m_row, m_column).data().toString();
    return {};
  }
  void setText(QAccessible::Text, const QString&) override {}
  QAccessible::State state() const override {
    QAccessible::State now;
    now.invalid = !isValid();
    now.readOnly = now.focusable = now.selectable = true;
    now.selected = isSelected();
    now.focused = isSelected() && m_map.hasFocus();
    now.invisible = !m_map.isVisible();
    return now;
  }
  void* interface_cast(QAccessible::InterfaceType type) override {
    return type == QAccessible::TableCellInterface
               ? static_cast<QAccessibleTableCellInterface*>(this)
               : nullptr;
  }

  int rowIndex() const override { return m_row; }
  int columnIndex() const override { return m_column; }
  int rowExtent() const override { return 1; }
  int columnExtent() const override { return 1; }
  bool isSelected() const override { return m_map.cursor() == std::pair{m_row, m_column}; }
  QList<QAccessibleInterface*> rowHeaderCells() const override { return {}; }
  QList<QAccessibleInterface*> columnHeaderCells() const override { return {}; }
  QAccessibleInterface* table() const override { return parent(); }

 private:
  HeatMap& m_map;
  int m_row, m_column;
};

QAccessibleInterface* make(const QString& className, QObject* object) {
  if (className != QLatin1String("tera::gui::HeatMap")) return nullptr;
  return new HeatMapAccessible(static_cast<HeatMap*>(object));
}

}  // namespace

void HeatMapAccessible::install() {
  QAccessible::installFactory(make);  // which takes a factory once
}

HeatMapAccessible::HeatMapAccessible(HeatMap* map) : QAccessibleWidget(map, QAccessible::Table) {}

HeatMapAccessible::~HeatMapAccessible() {
  forgetCells();
}

void HeatMapAccessible::forgetCells() {
  for (const QAccessible::Id id : std::as_const(m_cells))
    QAccessible::deleteAccessibleInterface(id);
  m_cells.clear();
}

HeatMap& HeatMapAccessible::map() const {
  return *static_cast<HeatMap*>(object());
}

void* HeatMapAccessible::interface_cast(QAccessible::InterfaceType type) {
  if (type == QAccessible::TableInterface) return static_cast<QAccessibleTableInterface*>(this);
  return QAccessibleWidget::interface_cast(type);
}

int HeatMapAccessible::rowCount() const {
  return map().model().rowCount();
}

int HeatMapAccessible::columnCount() const {
  return map().model().columnCount();
}

int HeatMapAccessible::childCount() const {
  return rowCount() * columnCount();
}

QAccessibleInterface* HeatMapAccessible::child(int index) const {
  return index < 0 || columnCount() == 0 ? nullptr
                                         : cellAt(index / columnCount(), index % columnCount());
}

QAccessibleInterface* HeatMapAccessible::cellAt(int row, int column) const {
  if (row < 0 || row >= rowCount() || column < 0 || column >= columnCount()) return nullptr;
  const auto known = m_cells.constFind({row, column});
  if (known != m_cells.constEnd()) return QAccessible::accessibleInterface(*known);
  auto* cell = new HeatMapCell(map(), row, column);
  // The registry of Qt owns it.
  m_cells.insert({row, column}, QAccessible::registerAccessibleInterface(cell));
  return cell;
}

int HeatMapAccessible::indexOfChild(const QAccessibleInterface* child) const {
  if (child == nullptr || child->role() != QAccessible::Cell) return -1;
  const auto* cell = static_cast<const HeatMapCell*>(child);
  return cell->rowIndex() * columnCount() + cell->columnIndex();
}

QAccessibleInterface* HeatMapAccessible::childAt(int x, int y) const {
  const auto cell = map().cellAt(map().mapFromGlobal(QPoint(x, y)));
  return cell ? cellAt(cell->first, cell->second) : nullptr;
}

QAccessibleInterface* HeatMapAccessible::focusChild() const {
  const auto cursor = map().cursor();
  return cursor && map().hasFocus() ? cellAt(cursor->first, cursor->second) : nullptr;
}

QString HeatMapAccessible::rowDescription(int row) const {
  return map().model().headerData(row, Qt::Vertical, Qt::DisplayRole).toString();
}

QString HeatMapAccessible::columnDescription(int column) const {
  return column < 0 || column >= columnCount()
             ? QString()
             : map().model().headerData(column, Qt::Horizontal, Qt::DisplayRole).toString();
}

int HeatMapAccessible::selectedCellCount() const {
  return map().cursor() ? 1 : 0;
}

QList<QAccessibleInterface*> HeatMapAccessible::selectedCells() const {
  const auto cursor = map().cursor();
  if (!cursor) return {};
  return {cellAt(cursor->first, cursor->second)};
}

void HeatMapAccessible::modelChange(QAccessibleTableModelChangeEvent* event) {
  if (event->modelChangeType() == QAccessibleTableModelChangeEvent::ModelReset) forgetCells();
}

}  // namespace tera::gui
