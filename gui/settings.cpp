#include "gui/settings.h"

namespace tera::gui {
namespace {

constexpr auto kVersionKey = "version";
constexpr auto kTheme = "window/theme";
constexpr auto kGeometry = "window/geometry";
constexpr auto kState = "window/state";
constexpr auto kRecent = "files/recent";

}  // namespace

Settings::Settings(const QString& file, QObject* parent) : QObject(parent) {
  m_store = file.isEmpty() ? std::make_unique<QSettings>(QSettings::IniFormat, QSettings::UserScope,
                                                         QStringLiteral("teragpt"),
                                                         QStringLiteral("workbench"))
                           : std::make_unique<QSettings>(file, QSettings::IniFormat);
  const int version = m_store->value(QLatin1String(kVersionKey), kVersion).toInt();
  // A file of a newer program keeps its values but not a window state this version may not read.
  if (version > kVersion) m_store->remove(QLatin1String(kState));
  if (version <= kVersion) m_store->setValue(QLatin1String(kVersionKey), kVersion);
}

ThemeChoice Settings::theme() const {
  return themeChoiceFromName(m_store->value(QLatin1String(kTheme)).toString());
}

void Settings::setTheme(ThemeChoice choice) {
  m_store->setValue(QLatin1String(kTheme), themeChoiceName(choice));
}

QStringList Settings::recentFiles() const {
  return m_store->value(QLatin1String(kRecent)).toStringList();
}

void Settings::addRecentFile(const QString& path) {
  QStringList files = recentFiles();
  files.removeAll(path);
  files.prepend(path);
  while (files.size() > kMaxRecent)
    files.removeLast();
  m_store->setValue(QLatin1String(kRecent), files);
  emit recentFilesChanged();
}

void Settings::removeRecentFile(const QString& path) {
  QStringList files = recentFiles();
  files.removeAll(path);
  m_store->setValue(QLatin1String(kRecent), files);
  emit recentFilesChanged();
}

QByteArray Settings::geometry() const {
  return m_store->value(QLatin1String(kGeometry)).toByteArray();
}

QByteArray Settings::windowState() const {
  return m_store->value(QLatin1String(kState)).toByteArray();
}

void Settings::setWindow(const QByteArray& geometry, const QByteArray& state) {
  m_store->setValue(QLatin1String(kGeometry), geometry);
  m_store->setValue(QLatin1String(kState), state);
}

bool Settings::firstTime(const QString& name) {
  const QString key = QStringLiteral("seen/") + name;
  if (m_store->value(key).toBool()) return false;
  m_store->setValue(key, true);
  return true;
}

}  // namespace tera::gui
