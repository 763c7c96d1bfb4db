#include "gui/undo_keys.h"

#include <QKeyEvent>

namespace tera::gui {

QList<QKeySequence> undoKeys() {
  return {QKeySequence(Qt::CTRL | Qt::Key_Z)};
}

QList<QKeySequence> redoKeys() {
  return {QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_Z), QKeySequence(Qt::CTRL | Qt::Key_Y)};
}

bool isUndoOrRedo(const QKeyEvent& event) {
  return (undoKeys() + redoKeys()).contains(QKeySequence(event.keyCombination()));
}

}  // namespace tera::gui
