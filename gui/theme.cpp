#include "gui/theme.h"

#include <QApplication>
#include <QFile>
#include <QFont>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QPalette>

#include "core/base/check.h"
#include "gui/style.h"

namespace tera::gui {
namespace {

Theme loadTheme(bool dark) {
  QFile file(dark ? QStringLiteral(":/theme/dark.json") : QStringLiteral(":/theme/light.json"));
  TERA_CHECK(file.open(QIODevice::ReadOnly), "colour table {} is not in the program",
             file.fileName().toStdString());
  const QJsonObject table = QJsonDocument::fromJson(file.readAll()).object();
  const auto color = [&](const char* name) {
    const QColor value(table.value(QLatin1String(name)).toString());
    TERA_CHECK(value.isValid(), "colour table: no colour named {}", name);
    return value;
  };
  Theme theme;
  theme.dark = dark;
  theme.window = color("window");
  theme.panel = color("panel");
  theme.field = color("field");
  theme.raised = color("raised");
  theme.border = color("border");
  theme.text = color("text");
  theme.muted = color("muted");
  theme.disabled = color("disabled");
  theme.accent = color("accent");
  theme.selection = color("selection");
  theme.selectionText = color("selectionText");
  theme.grid = color("grid");
  theme.ok = color("ok");
  theme.warning = color("warning");
  theme.critical = color("critical");
  theme.idle = color("idle");
  theme.unknown = color("unknown");
  for (const QJsonValue& value : table.value(QLatin1String("series")).toArray())
    theme.series.emplace_back(value.toString());
  TERA_CHECK(theme.series.size() == 8, "colour table: {} series, expected 8", theme.series.size());
  const QJsonObject memory = table.value(QLatin1String("memory")).toObject();
  for (auto it = memory.begin(); it != memory.end(); ++it)
    theme.memory.insert(it.key(), QColor(it.value().toString()));
  const QJsonArray scale = table.value(QLatin1String("diverging")).toArray();
  theme.low = QColor(scale.at(0).toString());
  theme.middle = QColor(scale.at(1).toString());
  theme.high = QColor(scale.at(2).toString());
  return theme;
}

QPalette paletteOf(const Theme& theme) {
  QPalette palette;
  const auto all = [&](QPalette::ColorRole role, const QColor& color) {
    palette.setColor(role, color);
  };
  all(QPalette::Window, theme.window);
  all(QPalette::WindowText, theme.text);
  all(QPalette::Base, theme.field);
  all(QPalette::AlternateBase, theme.panel);
  all(QPalette::Text, theme.text);
  all(QPalette::Button, theme.raised);
  all(QPalette::ButtonText, theme.text);
  all(QPalette::BrightText, theme.critical);
  all(QPalette::Highlight, theme.selection);
  all(QPalette::HighlightedText, theme.selectionText);
  all(QPalette::ToolTipBase, theme.raised);
  all(QPalette::ToolTipText, theme.text);
  all(QPalette::PlaceholderText, theme.muted);
  all(QPalette::Link, theme.accent);
  all(QPalette::LinkVisited, theme.accent);
  // Fusion shades its bevels from these; close to the window they stay quiet.
  all(QPalette::Light, theme.raised.lighter(theme.dark ? 110 : 103));
  all(QPalette::Midlight, theme.raised);
  all(QPalette::Mid, theme.border);
  all(QPalette::Dark, theme.border);
  all(QPalette::Shadow, theme.dark ? QColor(0, 0, 0) : theme.muted);
  for (const QPalette::ColorRole role :
       {QPalette::WindowText, QPalette::Text, QPalette::ButtonText, QPalette::HighlightedText})
    palette.setColor(QPalette::Disabled, role, theme.disabled);
  palette.setColor(QPalette::Disabled, QPalette::Base, theme.window);
  palette.setColor(QPalette::Disabled, QPalette::Highlight, theme.border);
  return palette;
}

// The theme of the application: Qt's palette and style are one per process, and so is this.
struct State {
  ThemeChoice choice = ThemeChoice::System;
  Theme theme = loadTheme(true);
  bool desktopDark = true;
  bool watching = false;
};

State& state() {
  static State value;
  return value;
}

void show(bool dark) {
  state().theme = loadTheme(dark);
  QApplication::setPalette(paletteOf(state().theme));
}

}  // namespace

const Theme& theme() {
  return state().theme;
}

ThemeChoice themeChoice() {
  return state().choice;
}

void applyTheme(ThemeChoice choice) {
  State& now = state();
  if (!now.watching) {
    now.watching = true;
    // Without an answer of the desktop, the palette Qt started with decides.
    now.desktopDark = QApplication::palette().color(QPalette::Window).lightness() < 128;
    QApplication::setStyle(new WorkbenchStyle);  // the application owns it
    watchDesktopScheme(qApp, [](bool dark) {
      state().desktopDark = dark;
      if (state().choice == ThemeChoice::System) show(dark);
    });
  }
  now.choice = choice;
  show(choice == ThemeChoice::Dark || (choice == ThemeChoice::System && now.desktopDark));
}

ThemeChoice themeChoiceFromName(const QString& name) {
  if (name == QLatin1String("light")) return ThemeChoice::Light;
  return name == QLatin1String("dark") ? ThemeChoice::Dark : ThemeChoice::System;
}

QString themeChoiceName(ThemeChoice choice) {
  switch (choice) {
    case ThemeChoice::Light:
      return QStringLiteral("light");
    case ThemeChoice::Dark:
      return QStringLiteral("dark");
    case ThemeChoice::System:
      break;
  }
  return QStringLiteral("system");
}

}  // namespace tera::gui
