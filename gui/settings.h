// Settings of the workbench: an INI file with a version, migrated when the program is newer.
#pragma once
#include <memory>

#include <QByteArray>
#include <QMap>
#include <QObject>
#include <QSettings>
#include <QStringList>

#include "gui/theme.h"

namespace tera::gui {

// What the window looked like when it was last in use.
struct WindowLayout {
  QByteArray geometry;                  // QMainWindow::saveGeometry
  QByteArray docks;                     // QMainWindow::saveState, of MainWindow::kStateVersion
  QStringList openDocks;                // asked for, whether or not the page in view shows them
  QMap<QString, QByteArray> splitters;  // "design/columns" -> QSplitter::saveState
  QString page;                         // in view
  QString project, run;                 // the file and the run directory that were open
  bool operator==(const WindowLayout&) const = default;
};

class Settings : public QObject {
  Q_OBJECT
 public:
  static constexpr int kVersion = 1;
  static constexpr int kMaxRecent = 12;

  // file: empty is the user's own settings file.
  explicit Settings(const QString& file = {}, QObject* parent = nullptr);

  ThemeChoice theme() const;
  void setTheme(ThemeChoice choice);
  QStringList recentFiles() const;  // newest first
  void addRecentFile(const QString& path);
  void removeRecentFile(const QString& path);
  WindowLayout layout() const;
  void setLayout(const WindowLayout& layout);
  // A hint shown once in a life: true the first time it is asked for this name.
  bool firstTime(const QString& name);

 signals:
  void recentFilesChanged();

 private:
  std::unique_ptr<QSettings> m_store;
};

}  // namespace tera::gui
