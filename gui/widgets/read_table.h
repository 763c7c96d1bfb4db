// ReadTable: a table for reading. Rows of one height (fast for any number of them), whole-row
// selection, no grid, Tab leaves it, Ctrl+C copies the row. It shows whole rows only: what is left
// under the last one stays empty, so that neither the first nor the last row is ever cut, wherever
// it is scrolled.
#pragma once
#include <QTableView>

namespace tera::gui {

class ReadTable : public QTableView {
  Q_OBJECT
 public:
  ReadTable(QAbstractItemModel* model, const QString& accessibleName, QWidget* parent = nullptr);
  void setRowHeight(int pixels);
  QSize minimumSizeHint() const override;  // two rows
  // Scrolls to new rows until a person scrolls away from the last one.
  void followTail();

 protected:
  bool event(QEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;

 private:
  int headerHeight() const;
};

// Lets the card under a list or table show through.
void clearBase(QAbstractItemView& view);

}  // namespace tera::gui
