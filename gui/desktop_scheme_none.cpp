// Built without Qt DBus: the palette the desktop gave Qt decides.
#include "gui/theme.h"

namespace tera::gui {

void watchDesktopScheme(QObject*, const std::function<void(bool)>&) {}

}  // namespace tera::gui
