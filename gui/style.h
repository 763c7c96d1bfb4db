// WorkbenchStyle: Fusion with flat buttons, tabs and toolbars in the colours of the theme.
#pragma once
#include <QProxyStyle>

namespace tera::gui {

class WorkbenchStyle : public QProxyStyle {
  Q_OBJECT
 public:
  WorkbenchStyle();
  void drawPrimitive(PrimitiveElement element,
                     const QStyleOption* option,
                     QPainter* painter,
                     const QWidget* widget) const override;
  void drawControl(ControlElement element,
                   const QStyleOption* option,
                   QPainter* painter,
                   const QWidget* widget) const override;
  int pixelMetric(PixelMetric metric,
                  const QStyleOption* option,
                  const QWidget* widget) const override;
  int styleHint(StyleHint hint,
                const QStyleOption* option,
                const QWidget* widget,
                QStyleHintReturn* data) const override;

 private:
  void drawButton(const QStyleOption* option, QPainter* painter) const;
  void drawMenuBarItem(const QStyleOption* option, QPainter* painter, const QWidget* widget) const;
  void drawTab(const QStyleOption* option, QPainter* painter) const;
};

}  // namespace tera::gui
