// Settings of the workbench: an INI file with a version, migrated when the program is newer.
#pragma once
#include <memory>

#include <QByteArray>
#include <QObject>
#include <QSettings>
#include <QStringList>

#include "gui/theme.h"

namespace tera::gui {

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
  QByteArray geometry() const;
  QByteArray windowState() const;
  void setWindow(const QByteArray& geometry, const QByteArray& state);
  // A hint shown once in a life: true the first time it is asked for this name.
  bool firstTime(const QString& name);

 signals:
  void recentFilesChanged();

 private:
  std::unique_ptr<QSettings> m_store;
};

}  // namespace tera::gui
