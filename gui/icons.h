// Monochrome icons in the colour of the text they stand beside.
#pragma once
#include <QIcon>
#include <QPixmap>

namespace tera::gui {

// themedIcon("run"): a file of resources/icons, tinted at paint time, so it follows the palette.
QIcon themedIcon(const QString& name);
QPixmap tintedPixmap(const QString& name, int size, qreal ratio, const QColor& color);

}  // namespace tera::gui
