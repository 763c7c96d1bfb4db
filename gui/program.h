// Where the teragpt command is: the workbench starts it for training and for the demo project.
#pragma once
#include <QString>

namespace tera::gui {

// Beside this program (installed), in the folder beside (build tree), or on PATH; empty when
// nowhere.
QString findTeragpt();

}  // namespace tera::gui
