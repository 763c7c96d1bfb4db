// Theme: colours from one token table per mode (resources/theme), as a QPalette for Fusion and as
// named colours for painted widgets. Painted widgets read theme() while painting and repaint on
// QEvent::PaletteChange.
#pragma once
#include <functional>
#include <vector>

#include <QColor>
#include <QHash>
#include <QObject>
#include <QString>

namespace tera::gui {

enum class ThemeChoice { System, Light, Dark };

struct Theme {
  bool dark = true;
  QColor window, panel, field, raised, border, text, muted, disabled, accent, selection,
      selectionText, grid, ok, warning, critical, idle, unknown;
  std::vector<QColor> series;     // eight runs or parts, told apart in every colour vision
  QHash<QString, QColor> memory;  // weights, gradients, optimizer, activations, workspace, reserved
  QColor low, middle, high;       // diverging scale
  QColor seriesColor(int i) const { return series[static_cast<std::size_t>(i) % series.size()]; }
};

const Theme& theme();  // of the running application

// Applies Fusion and the palette of the choice; System follows the desktop while the program runs.
void applyTheme(ThemeChoice choice);
ThemeChoice themeChoice();

ThemeChoice themeChoiceFromName(const QString& name);  // "light", "dark"; anything else is System
QString themeChoiceName(ThemeChoice choice);

// What the desktop prefers, told by desktop_scheme_*.cpp. watch calls back with true for dark, at
// once or later, whenever the answer is known or changes.
void watchDesktopScheme(QObject* owner, const std::function<void(bool dark)>& changed);

}  // namespace tera::gui
