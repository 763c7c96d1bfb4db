#include "gui/settings.h"

namespace tera::gui {
namespace {

constexpr auto kVersionKey = "version";
constexpr auto kTheme = "window/theme";
constexpr auto kGeometry = "window/geometry";
constexpr auto kState = "window/state";
constexpr auto kDocks = "window/docks";
constexpr auto kPage = "window/page";
constexpr auto kProject = "window/project";
constexpr auto kRun = "window/run";
constexpr auto kSplitters = "splitters";
constexpr auto kRecent = "files/recent";

}  // namespace

Settings::Settings(const QString& file, QObject* parent) : QObject(parent) {
  m_store = file.isEmpty() ? std::make_unique<QSettings>(QSettings::IniFormat, QSettings::UserScope,
                                                         QStringLiteral("teragpt"),
                                                         QStringLiteral("workbench"))
                           : std::make_unique<QSettings>(file, QSettings::IniFormat);
  const int version = m_store->value(QLatin1String(kVersionKey), kVersion).toInt();
  // A file of a newer program keeps its values but not a layout this version may not read.
  if (version > kVersion) {
    m_store->remove(QLatin1String(kState));
    m_store->remove(QLatin1String(kSplitters));
  }
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

WindowLayout Settings::layout() const {
  WindowLayout layout{.geometry = m_store->value(QLatin1String(kGeometry)).toByteArray(),
                      .docks = m_store->value(QLatin1String(kState)).toByteArray(),
                      .openDocks = m_store->value(QLatin1String(kDocks)).toStringList(),
                      .splitters = {},
                      .page = m_store->value(QLatin1String(kPage)).toString(),
                      .project = m_store->value(QLatin1String(kProject)).toString(),
                      .run = m_store->value(QLatin1String(kRun)).toString()};
  m_store->beginGroup(QLatin1String(kSplitters));
  for (const QString& key : m_store->allKeys())
    layout.splitters.insert(key, m_store->value(key).toByteArray());
  m_store->endGroup();
  return layout;
}

void Settings::setLayout(const WindowLayout& layout) {
  m_store->setValue(QLatin1String(kGeometry), layout.geometry);
  m_store->setValue(QLatin1String(kState), layout.docks);
  m_store->setValue(QLatin1String(kDocks), layout.openDocks);
  m_store->setValue(QLatin1String(kPage), layout.page);
  m_store->setValue(QLatin1String(kProject), layout.project);
  m_store->setValue(QLatin1String(kRun), layout.run);
  for (auto it = layout.splitters.begin(); it != layout.splitters.end(); ++it)
    m_store->setValue(QLatin1String(kSplitters) + QLatin1Char('/') + it.key(), it.value());
}

bool Settings::firstTime(const QString& name) {
  const QString key = QStringLiteral("seen/") + name;
  if (m_store->value(key).toBool()) return false;
  m_store->setValue(key, true);
  return true;
}

}  // namespace tera::gui
