// The about box and the sheet of shortcuts.
#pragma once
#include <QList>

class QAction;
class QWidget;

namespace tera::gui {

QString aboutText();  // version, what it is, licences
void showAbout(QWidget* parent);
void showShortcuts(QWidget* parent, const QList<QAction*>& actions);

}  // namespace tera::gui
