#include "gui/icons.h"

#include <QGuiApplication>
#include <QIconEngine>
#include <QPainter>
#include <QPalette>
#include <QSvgRenderer>

namespace tera::gui {
namespace {

class TintedEngine : public QIconEngine {
 public:
  explicit TintedEngine(QString name) : m_name(std::move(name)) {}
  QIconEngine* clone() const override { return new TintedEngine(m_name); }
  void paint(QPainter* painter, const QRect& rect, QIcon::Mode mode, QIcon::State) override {
    const qreal ratio = painter->device() ? painter->device()->devicePixelRatioF() : 1.0;
    const int size = std::min(rect.width(), rect.height());
    const QRect square(rect.x() + (rect.width() - size) / 2, rect.y() + (rect.height() - size) / 2,
                       size, size);
    painter->drawPixmap(square, tintedPixmap(m_name, size, ratio, color(mode)));
  }
  QPixmap pixmap(const QSize& size, QIcon::Mode mode, QIcon::State) override {
    return tintedPixmap(m_name, std::min(size.width(), size.height()), 1.0, color(mode));
  }

 private:
  static QColor color(QIcon::Mode mode) {
    const QPalette palette = QGuiApplication::palette();
    switch (mode) {
      case QIcon::Disabled:
        return palette.color(QPalette::Disabled, QPalette::ButtonText);
      case QIcon::Selected:
        return palette.color(QPalette::HighlightedText);
      default:
        return palette.color(QPalette::ButtonText);
    }
  }
  QString m_name;
};

}  // namespace

QPixmap tintedPixmap(const QString& name, int size, qreal ratio, const QColor& color) {
  QSvgRenderer renderer(QStringLiteral(":/icons/%1.svg").arg(name));
  QPixmap pixmap(QSize(size, size) * ratio);
  pixmap.fill(Qt::transparent);
  QPainter painter(&pixmap);
  renderer.render(&painter);
  painter.setCompositionMode(QPainter::CompositionMode_SourceIn);
  painter.fillRect(pixmap.rect(), color);
  painter.end();
  pixmap.setDevicePixelRatio(ratio);
  return pixmap;
}

QIcon themedIcon(const QString& name) {
  return QIcon(new TintedEngine(name));
}

}  // namespace tera::gui
