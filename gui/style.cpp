#include "gui/style.h"

#include <QPainter>
#include <QPushButton>
#include <QStyleFactory>
#include <QStyleOption>
#include <QToolBar>

#include "gui/theme.h"

namespace tera::gui {
namespace {

constexpr double kRadius = 4;

QRectF inner(const QRect& rect) {
  return QRectF(rect).adjusted(0.5, 0.5, -0.5, -0.5);
}

bool isDefault(const QStyleOption* option) {
  const auto* button = qstyleoption_cast<const QStyleOptionButton*>(option);
  return button != nullptr && (button->features & QStyleOptionButton::DefaultButton) != 0;
}

}  // namespace

WorkbenchStyle::WorkbenchStyle() : QProxyStyle(QStyleFactory::create(QStringLiteral("Fusion"))) {}

void WorkbenchStyle::drawPrimitive(PrimitiveElement element,
                                   const QStyleOption* option,
                                   QPainter* painter,
                                   const QWidget* widget) const {
  switch (element) {
    case PE_PanelButtonCommand:
      drawButton(option, painter);
      return;
    case PE_PanelStatusBar:
    case PE_FrameStatusBarItem:
    case PE_FrameTabBarBase:
      return;
    case PE_FrameTabWidget:
      painter->fillRect(QRect(option->rect.left(), option->rect.top(), option->rect.width(), 1),
                        theme().border);
      return;
    case PE_FrameFocusRect: {
      painter->save();
      painter->setRenderHint(QPainter::Antialiasing);
      painter->setPen(QPen(theme().accent, 1));
      painter->setBrush(Qt::NoBrush);
      painter->drawRoundedRect(inner(option->rect), kRadius, kRadius);
      painter->restore();
      return;
    }
    default:
      QProxyStyle::drawPrimitive(element, option, painter, widget);
  }
}

void WorkbenchStyle::drawButton(const QStyleOption* option, QPainter* painter) const {
  const Theme& colors = theme();
  const bool enabled = (option->state & State_Enabled) != 0;
  QColor fill = isDefault(option) ? colors.selection : colors.raised;
  QColor edge = isDefault(option) ? colors.selection : colors.border;
  if (!enabled) {
    fill = colors.panel;
    edge = colors.border;
  } else if ((option->state & (State_Sunken | State_On)) != 0) {
    fill = fill.darker(112);
  } else if ((option->state & State_MouseOver) != 0) {
    fill = colors.dark ? fill.lighter(115) : fill.darker(104);
  }
  if (enabled && (option->state & State_HasFocus) != 0) edge = colors.accent;
  painter->save();
  painter->setRenderHint(QPainter::Antialiasing);
  painter->setPen(QPen(edge, 1));
  painter->setBrush(fill);
  painter->drawRoundedRect(inner(option->rect), kRadius, kRadius);
  painter->restore();
}

void WorkbenchStyle::drawControl(ControlElement element,
                                 const QStyleOption* option,
                                 QPainter* painter,
                                 const QWidget* widget) const {
  switch (element) {
    case CE_ToolBar:
      painter->fillRect(option->rect, theme().window);
      painter->fillRect(QRect(option->rect.left(), option->rect.bottom(), option->rect.width(), 1),
                        theme().border);
      return;
    case CE_MenuBarEmptyArea:
      painter->fillRect(option->rect, theme().window);
      return;
    case CE_Splitter:
      if ((option->state & State_MouseOver) != 0) painter->fillRect(option->rect, theme().border);
      return;
    case CE_TabBarTabShape:
      drawTab(option, painter);
      return;
    case CE_HeaderSection:
    case CE_HeaderEmptyArea:
      painter->fillRect(QRect(option->rect.left(), option->rect.bottom(), option->rect.width(), 1),
                        theme().border);
      return;
    case CE_HeaderLabel: {
      QStyleOptionHeader quiet = *qstyleoption_cast<const QStyleOptionHeader*>(option);
      quiet.palette.setColor(QPalette::ButtonText, theme().muted);
      QProxyStyle::drawControl(element, &quiet, painter, widget);
      return;
    }
    case CE_MenuBarItem:
      drawMenuBarItem(option, painter, widget);
      return;
    case CE_PushButtonLabel:
      if (isDefault(option) && (option->state & State_Enabled) != 0) {
        QStyleOptionButton white = *qstyleoption_cast<const QStyleOptionButton*>(option);
        white.palette.setColor(QPalette::ButtonText, theme().selectionText);
        white.icon =
            QIcon(white.icon.pixmap(white.iconSize * 2, QIcon::Selected));  // as light as the text
        QProxyStyle::drawControl(element, &white, painter, widget);
        return;
      }
      break;
    default:
      break;
  }
  QProxyStyle::drawControl(element, option, painter, widget);
}

void WorkbenchStyle::drawTab(const QStyleOption* option, QPainter* painter) const {
  const bool selected = (option->state & State_Selected) != 0;
  const QRect& rect = option->rect;
  if (!selected && (option->state & State_MouseOver) != 0) painter->fillRect(rect, theme().raised);
  if (selected)
    painter->fillRect(QRect(rect.left() + 2, rect.bottom() - 1, rect.width() - 4, 2),
                      theme().accent);
}

void WorkbenchStyle::drawMenuBarItem(const QStyleOption* option,
                                     QPainter* painter,
                                     const QWidget* widget) const {
  const auto* item = qstyleoption_cast<const QStyleOptionMenuItem*>(option);
  painter->fillRect(option->rect, theme().window);
  const bool active = (option->state & State_Selected) != 0;
  if (active) painter->fillRect(option->rect.adjusted(1, 1, -1, -1), theme().raised);
  int flags = Qt::AlignCenter | Qt::TextShowMnemonic | Qt::TextSingleLine;
  if (!proxy()->styleHint(SH_UnderlineShortcut, option, widget)) flags |= Qt::TextHideMnemonic;
  proxy()->drawItemText(painter, option->rect, flags, item->palette,
                        (option->state & State_Enabled) != 0, item->text, QPalette::ButtonText);
}

int WorkbenchStyle::pixelMetric(PixelMetric metric,
                                const QStyleOption* option,
                                const QWidget* widget) const {
  switch (metric) {
    case PM_TabBarTabShiftVertical:
    case PM_ButtonDefaultIndicator:
    case PM_ButtonShiftHorizontal:
    case PM_ButtonShiftVertical:
      return 0;
    case PM_ScrollBarExtent:
      return 12;
    default:
      return QProxyStyle::pixelMetric(metric, option, widget);
  }
}

int WorkbenchStyle::styleHint(StyleHint hint,
                              const QStyleOption* option,
                              const QWidget* widget,
                              QStyleHintReturn* data) const {
  if (hint == SH_DockWidget_ButtonsHaveFrame) return 0;
  return QProxyStyle::styleHint(hint, option, widget, data);
}

}  // namespace tera::gui
