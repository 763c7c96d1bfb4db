#include "gui/program.h"

#include <QCoreApplication>
#include <QDir>
#include <QFileInfo>
#include <QStandardPaths>

namespace tera::gui {

QString findTeragpt() {
  const QDir here(QCoreApplication::applicationDirPath());
  for (const char* candidate : {"teragpt", "../teragpt/teragpt", "../../app/teragpt/teragpt"}) {
    const QFileInfo file(here.filePath(QLatin1String(candidate)));
    if (file.isFile() && file.isExecutable()) return QDir::cleanPath(file.absoluteFilePath());
  }
  return QStandardPaths::findExecutable(QStringLiteral("teragpt"));
}

}  // namespace tera::gui
