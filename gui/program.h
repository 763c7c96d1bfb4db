// Where the teragpt command is: the workbench starts it for training and for the demo project.
#pragma once
#include <QString>

namespace tera::gui {

// In the folder of this program (installed), in the folder beside (build tree), or on PATH; empty
// when nowhere.
QString findTeragpt(const QString& programFolder);

}  // namespace tera::gui
