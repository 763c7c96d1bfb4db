#include "gui/widgets/read_table.h"

#include <memory>

#include <QClipboard>
#include <QGuiApplication>
#include <QHeaderView>
#include <QKeyEvent>
#include <QScrollBar>

namespace tera::gui {

void clearBase(QAbstractItemView& view) {
  QPalette clear = view.palette();
  clear.setColor(QPalette::Base, Qt::transparent);
  view.setPalette(clear);
}

ReadTable::ReadTable(QAbstractItemModel* model, const QString& accessibleName, QWidget* parent)
    : QTableView(parent) {
  setModel(model);
  setAccessibleName(accessibleName);
  setShowGrid(false);
  setFrameShape(QFrame::NoFrame);
  setSelectionBehavior(QAbstractItemView::SelectRows);
  setSelectionMode(QAbstractItemView::SingleSelection);
  setEditTriggers(QAbstractItemView::NoEditTriggers);
  setTabKeyNavigation(false);
  clearBase(*this);
  setWordWrap(false);
  verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
  verticalHeader()->hide();
  horizontalHeader()->setHighlightSections(false);
  horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
  horizontalHeader()->setStretchLastSection(true);
  setHorizontalScrollMode(QAbstractItemView::ScrollPerPixel);
  setRowHeight(fontMetrics().height() + 7);
}

void ReadTable::setRowHeight(int pixels) {
  verticalHeader()->setMinimumSectionSize(pixels);
  verticalHeader()->setDefaultSectionSize(pixels);
}

int ReadTable::headerHeight() const {
  return horizontalHeader()->isHidden() ? 0 : horizontalHeader()->sizeHint().height();
}

QSize ReadTable::minimumSizeHint() const {
  return {QTableView::minimumSizeHint().width(),
          headerHeight() + 2 * verticalHeader()->defaultSectionSize()};
}

void ReadTable::followTail() {
  auto atEnd = std::make_shared<bool>(true);
  connect(model(), &QAbstractItemModel::rowsAboutToBeInserted, this, [this, atEnd] {
    *atEnd = verticalScrollBar()->value() >= verticalScrollBar()->maximum();
  });
  connect(model(), &QAbstractItemModel::rowsInserted, this, [this, atEnd] {
    if (*atEnd) scrollToBottom();
  });
}

bool ReadTable::event(QEvent* event) {
  if (event->type() == QEvent::Resize) {  // before the viewport is laid out
    const int bar = horizontalScrollBar()->isVisible() ? horizontalScrollBar()->height() : 0;
    const int rows = height() - headerHeight() - bar;
    const int row = verticalHeader()->defaultSectionSize();
    setContentsMargins(0, 0, 0, rows > row ? rows % row : 0);
  }
  return QTableView::event(event);
}

// The cells of the current row that are shown, separated by tabs.
void ReadTable::keyPressEvent(QKeyEvent* event) {
  if (!event->matches(QKeySequence::Copy) || !currentIndex().isValid()) {
    QTableView::keyPressEvent(event);
    return;
  }
  QStringList cells;
  for (int column = 0; column < model()->columnCount(); ++column) {
    if (!isColumnHidden(column))
      cells << model()->index(currentIndex().row(), column).data().toString();
  }
  QGuiApplication::clipboard()->setText(cells.join(QLatin1Char('\t')));
}

}  // namespace tera::gui
