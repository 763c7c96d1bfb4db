#include "gui/widgets/section_button.h"

#include <QPainter>

#include "gui/icons.h"
#include "gui/theme.h"
#include "gui/widgets/card.h"

namespace tera::gui {
namespace {
constexpr int kChevron = 12, kTextLeft = 20;  // pixels
}

SectionButton::SectionButton(const QString& title, QWidget* parent) : QAbstractButton(parent) {
  setText(title);
  setCheckable(true);
  setFocusPolicy(Qt::TabFocus);
  setAccessibleName(tr("Section %1").arg(title));
  setFont(scaledFont(*this, 1.0, QFont::DemiBold));
}

QSize SectionButton::sizeHint() const {
  return {kTextLeft + fontMetrics().horizontalAdvance(text()), fontMetrics().height() + 8};
}

void SectionButton::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  if (underMouse()) painter.fillRect(rect(), theme().raised);
  const QString chevron = isChecked() ? QStringLiteral("less") : QStringLiteral("more");
  painter.drawPixmap(QPoint(2, (height() - kChevron) / 2),
                     tintedPixmap(chevron, kChevron, devicePixelRatioF(), theme().muted));
  painter.setPen(hasFocus() ? theme().accent : theme().text);
  painter.drawText(rect().adjusted(kTextLeft, 0, 0, 0), Qt::AlignLeft | Qt::AlignVCenter, text());
}

}  // namespace tera::gui
