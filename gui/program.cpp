#include "gui/program.h"

#include <QDir>
#include <QFileInfo>
#include <QStandardPaths>

namespace tera::gui {

QString findTeragpt(const QString& programFolder) {
  const QDir here(programFolder);
  for (const char* candidate : {"teragpt", "../teragpt/teragpt", "../../app/teragpt/teragpt"}) {
    const QFileInfo file(here.filePath(QLatin1String(candidate)));
    if (file.isFile() && file.isExecutable()) return QDir::cleanPath(file.absoluteFilePath());
  }
  return QStandardPaths::findExecutable(QStringLiteral("teragpt"));
}

}  // namespace tera::gui
