// The keys that undo and redo the document, whatever has the focus and on whichever desktop.
#pragma once
#include <QKeySequence>
#include <QList>

class QKeyEvent;

namespace tera::gui {

QList<QKeySequence> undoKeys();  // Ctrl+Z
QList<QKeySequence> redoKeys();  // Ctrl+Shift+Z, Ctrl+Y
bool isUndoOrRedo(const QKeyEvent& event);

}  // namespace tera::gui
