// What a person would call cut or overlapping in a window, found without looking at its picture.
#pragma once
#include <QStringList>

class QWidget;

namespace tera::gui::test {

// One line per finding: a label, button or field with less room than its text needs, siblings that
// overlap, a child outside its parent (unless that scrolls), a table without one whole row, a
// toolbar or tab bar that hides some of its buttons. Empty: all of the visible widgets are fine.
QStringList auditLayout(const QWidget& root);

}  // namespace tera::gui::test
