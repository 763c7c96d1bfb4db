#include "gui/widgets/heat_map_accessible.h"

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

// What a screen reader gets, through Qt's own way to it.
struct Reader {
  Reader() : map(model) {
    map.resize(500, 240);
    map.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&map));
    root = QAccessible::queryAccessibleInterface(&map);
    table = root != nullptr ? root->tableInterface() : nullptr;
  }
  ExpertLoadModel model;
  HeatMap map;
  QAccessibleInterface* root = nullptr;
  QAccessibleTableInterface* table = nullptr;
};

TEST(HeatMapAccessible, IsATableOfLayersByExpertsAndTheirWorst) {
  Reader reader;
  ASSERT_NE(reader.table, nullptr);
  EXPECT_EQ(reader.root->role(), QAccessible::Table);
  EXPECT_EQ(reader.table->rowCount(), 0);
  reader.model.setLoads({{1, 3, 2}, {2, 2, 2}}, {4, 7}, 9);
  EXPECT_EQ(reader.table->rowCount(), 2);
  EXPECT_EQ(reader.table->columnCount(), 4);
  EXPECT_EQ(reader.root->childCount(), 8);
  EXPECT_EQ(reader.table->rowDescription(1), "layer 7");
  EXPECT_EQ(reader.table->columnDescription(2), "E2");
  EXPECT_EQ(reader.table->columnDescription(3), "max / mean");
  EXPECT_EQ(reader.root->text(QAccessible::Name), "Expert load map");
}

TEST(HeatMapAccessible, CellsSayTheirWordsAndTheirPlaces) {
  Reader reader;
  reader.model.setLoads({{1, 3}, {0, 2}}, {4, 7}, 9);
  for (int row = 0; row < 2; ++row) {
    for (int column = 0; column < 3; ++column) {
      QAccessibleInterface* cell = reader.table->cellAt(row, column);
      ASSERT_NE(cell, nullptr);
      EXPECT_EQ(cell->role(), QAccessible::Cell);
      EXPECT_EQ(cell->text(QAccessible::Name), reader.map.describe(row, column));
      EXPECT_EQ(cell->text(QAccessible::Value), reader.model.index(row, column).data().toString());
      QAccessibleTableCellInterface* place = cell->tableCellInterface();
      ASSERT_NE(place, nullptr);
      EXPECT_EQ(place->rowIndex(), row);
      EXPECT_EQ(place->columnIndex(), column);
      EXPECT_EQ(place->table(), reader.root);
      EXPECT_EQ(cell->parent(), reader.root);
      EXPECT_EQ(reader.root->child(row * 3 + column), cell) << "row by row, and one each";
      EXPECT_EQ(reader.root->indexOfChild(cell), row * 3 + column);
      const QPoint center = cell->rect().center();
      EXPECT_TRUE(reader.map.rect().contains(reader.map.mapFromGlobal(center)));
      EXPECT_EQ(reader.root->childAt(center.x(), center.y()), cell);
    }
  }
  EXPECT_EQ(reader.table->cellAt(1, 0)->text(QAccessible::Name),
            "Layer 7, expert 0: dead: no token");
}

TEST(HeatMapAccessible, NothingIsOutsideTheTable) {
  Reader reader;
  reader.model.setLoads({{1, 3}}, {0}, 1);
  EXPECT_EQ(reader.table->cellAt(1, 0), nullptr);
  EXPECT_EQ(reader.table->cellAt(0, 3), nullptr);
  EXPECT_EQ(reader.table->cellAt(-1, 0), nullptr);
  EXPECT_EQ(reader.root->child(3), nullptr);
  EXPECT_EQ(reader.root->child(-1), nullptr);
  EXPECT_EQ(reader.table->columnDescription(3), "");
  EXPECT_EQ(reader.root->indexOfChild(reader.root), -1);
}

TEST(HeatMapAccessible, TheCursorIsSelectedAndFocused) {
  Reader reader;
  reader.model.setLoads({{1, 3}, {2, 2}}, {0, 1}, 1);
  EXPECT_EQ(reader.table->selectedCellCount(), 0);
  EXPECT_EQ(reader.root->focusChild(), nullptr);
  reader.map.setFocus();
  QTest::keyClick(&reader.map, Qt::Key_Down);
  QTest::keyClick(&reader.map, Qt::Key_Right);
  QAccessibleInterface* cell = reader.table->cellAt(1, 1);
  EXPECT_EQ(reader.root->focusChild(), cell);
  EXPECT_EQ(reader.table->selectedCells(), QList<QAccessibleInterface*>{cell});
  EXPECT_TRUE(cell->state().selected);
  EXPECT_TRUE(cell->state().focused);
  EXPECT_FALSE(reader.table->cellAt(0, 0)->state().selected);
}

// A reader may hold a cell while the run goes on to another shape.
TEST(HeatMapAccessible, ACellOfAnOlderShapeIsInvalidAndSaysNothing) {
  Reader reader;
  reader.model.setLoads({{1, 3}, {2, 2}}, {0, 1}, 1);
  QAccessibleInterface* last = reader.table->cellAt(1, 2);
  QAccessibleInterface* first = reader.table->cellAt(0, 0);
  const QAccessible::Id id = QAccessible::uniqueId(last);
  reader.model.setLoads({{4, 4, 4}}, {0}, 2);
  if (QAccessible::accessibleInterface(id) == last) {  // else it is gone, which says as much
    EXPECT_FALSE(last->isValid());
    EXPECT_EQ(last->text(QAccessible::Name), "");
    EXPECT_EQ(reader.table->cellAt(0, 0), first);
  }
  EXPECT_EQ(reader.root->childCount(), 4);
  EXPECT_EQ(reader.table->cellAt(0, 3)->text(QAccessible::Value), "1.00×");
}

TEST(HeatMapAccessible, CellsGoWithTheirMap) {
  QAccessible::Id id = 0;
  {
    Reader reader;
    reader.model.setLoads({{1, 3}}, {0}, 1);
    id = QAccessible::uniqueId(reader.table->cellAt(0, 0));
    EXPECT_NE(QAccessible::accessibleInterface(id), nullptr);
  }
  EXPECT_EQ(QAccessible::accessibleInterface(id), nullptr);
}

TEST(HeatMapAccessible, ALargeTableMakesOnlyTheCellsThatAreAskedFor) {
  Reader reader;
  reader.model.setLoads(std::vector<std::vector<double>>(60, std::vector<double>(256, 1.0)),
                        std::vector<int>(60, 0), 1);
  EXPECT_EQ(reader.root->childCount(), 60 * 257);
  QAccessibleInterface* one = reader.table->cellAt(59, 255);
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(reader.table->cellAt(59, 255), one) << "the same one again";
}

}  // namespace
}  // namespace tera::gui
