#include "tests/gui/layout_audit.h"

#include <algorithm>

#include <QAbstractButton>
#include <QAbstractItemView>
#include <QAbstractScrollArea>
#include <QAbstractSpinBox>
#include <QComboBox>
#include <QDockWidget>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QMainWindow>
#include <QScrollArea>
#include <QSplitterHandle>
#include <QStyle>
#include <QStyleOptionComboBox>
#include <QTabBar>
#include <QTabWidget>
#include <QTableView>
#include <QToolBar>

#include "gui/widgets/card.h"
#include "gui/widgets/read_table.h"

namespace tera::gui::test {
namespace {

QString nameOf(const QWidget& widget) {
  QString name = QString::fromLatin1(widget.metaObject()->className()).section(':', -1);
  QString words = widget.accessibleName();
  if (const auto* label = qobject_cast<const QLabel*>(&widget)) words = label->text();
  if (const auto* button = qobject_cast<const QAbstractButton*>(&widget)) words = button->text();
  if (!words.isEmpty()) name += QStringLiteral(" \"%1\"").arg(words.left(40));
  return name;
}

// A widget without a layout that tells how much room its picture needs.
bool isOurs(const QWidget& widget) {
  const bool button = qobject_cast<const QAbstractButton*>(&widget) != nullptr;
  return widget.layout() == nullptr &&
         (button || QByteArray(widget.metaObject()->className()).startsWith("tera::gui::"));
}

// Parts of a widget of Qt, which places them itself.
bool isInternal(const QWidget& widget) {
  const QWidget* parent = widget.parentWidget();
  return qobject_cast<const QSplitterHandle*>(&widget) != nullptr ||
         qobject_cast<const QAbstractScrollArea*>(parent) != nullptr ||
         qobject_cast<const QAbstractSpinBox*>(parent) != nullptr ||
         qobject_cast<const QComboBox*>(parent) != nullptr ||
         qobject_cast<const QTabWidget*>(parent) != nullptr ||
         qobject_cast<const QTabBar*>(parent) != nullptr ||
         qobject_cast<const QMainWindow*>(parent) != nullptr ||
         qobject_cast<const QDockWidget*>(parent) != nullptr ||
         qobject_cast<const QLineEdit*>(parent) != nullptr;
}

bool scrolls(const QWidget& widget) {
  const auto* area = widget.parentWidget() == nullptr
                         ? nullptr
                         : qobject_cast<const QScrollArea*>(widget.parentWidget()->parentWidget());
  return area != nullptr && area->widget() == &widget;
}

bool isShort(const QSize& has, const QSize& needs) {
  return has.width() < needs.width() || has.height() < needs.height();
}

bool labelIsCut(const QLabel& label) {
  if (label.text().isEmpty()) return false;
  if (label.wordWrap()) return label.height() < label.heightForWidth(label.width());
  return isShort(label.size(), qobject_cast<const ElidedLabel*>(&label) != nullptr
                                   ? label.minimumSizeHint()
                                   : label.sizeHint());
}

bool comboIsCut(const QComboBox& box) {
  QStyleOptionComboBox option;
  option.initFrom(&box);
  const QRect edit =
      box.style()->subControlRect(QStyle::CC_ComboBox, &option, QStyle::SC_ComboBoxEditField, &box);
  return box.fontMetrics().horizontalAdvance(box.currentText()) > edit.width();
}

bool spinIsCut(const QAbstractSpinBox& box) {
  const auto* edit = box.findChild<QLineEdit*>();
  return edit->fontMetrics().horizontalAdvance(edit->text()) > edit->width();
}

QString tableProblem(const QTableView& table) {
  const int rows = table.model()->rowCount();
  if (rows == 0) return {};
  const int seen = table.viewport()->height();
  if (seen < table.rowHeight(0)) return QStringLiteral("shows no whole row");
  if (qobject_cast<const ReadTable*>(&table) == nullptr ||
      table.verticalScrollMode() == QAbstractItemView::ScrollPerPixel)  // rows of any height
    return {};
  const int first = table.rowAt(0);
  if (table.rowViewportPosition(first) < 0) return QStringLiteral("cuts its first row");
  const int last = table.rowAt(seen - 1);
  if (last >= 0 && table.rowViewportPosition(last) + table.rowHeight(last) > seen)
    return QStringLiteral("cuts its last row");
  return {};
}

bool hidesItsRight(const QScrollArea& area) {
  return area.horizontalScrollBarPolicy() == Qt::ScrollBarAlwaysOff && area.widget() != nullptr &&
         area.widget()->width() > area.viewport()->width();
}

QString problemOf(const QWidget& widget) {
  if (const auto* label = qobject_cast<const QLabel*>(&widget)) {
    if (labelIsCut(*label)) return QStringLiteral("has less room than its text needs");
  } else if (const auto* combo = qobject_cast<const QComboBox*>(&widget)) {
    if (comboIsCut(*combo)) return QStringLiteral("cuts \"%1\"").arg(combo->currentText());
  } else if (const auto* spin = qobject_cast<const QAbstractSpinBox*>(&widget)) {
    if (spinIsCut(*spin)) return QStringLiteral("cuts \"%1\"").arg(spin->text());
  } else if (const auto* table = qobject_cast<const QTableView*>(&widget)) {
    return tableProblem(*table);
  } else if (const auto* area = qobject_cast<const QScrollArea*>(&widget)) {
    if (hidesItsRight(*area)) return QStringLiteral("hides the right of what it scrolls");
  } else if (const auto* tabs = qobject_cast<const QTabBar*>(&widget)) {
    if (tabs->count() > 0 && tabs->tabRect(tabs->count() - 1).right() > tabs->width())
      return QStringLiteral("hides tabs");
  } else if (widget.objectName() == QLatin1String("qt_toolbar_ext_button")) {
    return QStringLiteral("hides buttons of a toolbar");
  } else if (isOurs(widget) && isShort(widget.size(), widget.minimumSizeHint())) {
    return QStringLiteral("is %1x%2, needs %3x%4")
        .arg(widget.width())
        .arg(widget.height())
        .arg(widget.minimumSizeHint().width())
        .arg(widget.minimumSizeHint().height());
  }
  if (!scrolls(widget) && widget.parentWidget() != nullptr && !widget.isWindow() &&
      !widget.parentWidget()->rect().contains(widget.geometry()))
    return QStringLiteral("stands outside its %1").arg(nameOf(*widget.parentWidget()));
  return {};
}

void findOverlaps(const QWidget& parent, QStringList& found) {
  QList<const QWidget*> shown;
  for (const QWidget* child : parent.findChildren<QWidget*>(Qt::FindDirectChildrenOnly)) {
    if (child->isVisible() && !child->isWindow() && !isInternal(*child)) shown << child;
  }
  for (qsizetype i = 0; i < shown.size(); ++i) {
    for (qsizetype k = i + 1; k < shown.size(); ++k) {
      if (shown[i]->geometry().intersects(shown[k]->geometry()))
        found << QStringLiteral("%1 overlaps %2").arg(nameOf(*shown[i]), nameOf(*shown[k]));
    }
  }
}

}  // namespace

QStringList auditLayout(const QWidget& root) {
  QStringList found;
  for (const QWidget* widget : root.findChildren<QWidget*>()) {
    if (!widget->isVisible() || widget->isWindow() || isInternal(*widget)) continue;
    const QString problem = problemOf(*widget);
    if (!problem.isEmpty()) found << nameOf(*widget) + QLatin1Char(' ') + problem;
    findOverlaps(*widget, found);
  }
  return found;
}

}  // namespace tera::gui::test
