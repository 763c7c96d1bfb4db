#include "gui/widgets/card.h"

#include <algorithm>

#include <QEvent>
#include <QHelpEvent>
#include <QPainter>
#include <QResizeEvent>
#include <QSplitter>
#include <QStyle>
#include <QToolTip>

#include "gui/theme.h"

namespace tera::gui {
namespace {
constexpr int kMinChars = 8;  // of a label that is elided
constexpr int kSplitterHandle = 8;
}  // namespace

QFont scaledFont(const QWidget& widget, double factor, QFont::Weight weight) {
  QFont font = widget.font();
  font.setPointSizeF(font.pointSizeF() * factor);
  font.setWeight(weight);
  return font;
}

QSplitter* makeSplitter(Qt::Orientation orientation, const char* name) {
  auto* splitter = new QSplitter(orientation);
  splitter->setObjectName(QLatin1String(name));
  splitter->setChildrenCollapsible(false);
  splitter->setHandleWidth(kSplitterHandle);
  return splitter;
}

Card::Card(const QString& title, QWidget* parent) : QFrame(parent) {
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(12, 9, 12, 10);
  outer->setSpacing(6);
  m_header = new QHBoxLayout;
  m_header->setSpacing(6);
  m_title = new QLabel(title, this);
  m_title->setFont(scaledFont(*this, 1.0, QFont::DemiBold));
  m_header->addWidget(m_title, 1);
  outer->addLayout(m_header);
  m_body = new QVBoxLayout;
  m_body->setSpacing(6);
  outer->addLayout(m_body, 1);
  setAccessibleName(title);
}

void Card::setTitle(const QString& title) {
  m_title->setText(title);
  setAccessibleName(title);
}

void Card::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  painter.setPen(QPen(theme().border, 1));
  painter.setBrush(theme().panel);
  painter.drawRoundedRect(QRectF(rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6);
}

ToneLabel::ToneLabel(const QString& text, Tone tone, QWidget* parent)
    : QLabel(text, parent), m_tone(tone) {
  recolor();
}

void ToneLabel::setTone(Tone tone) {
  if (tone == m_tone) return;
  m_tone = tone;
  recolor();
}

void ToneLabel::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange) recolor();
  QLabel::changeEvent(event);
}

QSize ToneLabel::sizeHint() const {
  const QSize hint = QLabel::sizeHint();
  return wordWrap() ? QSize(hint.width(), heightForWidth(width())) : hint;
}

QSize ToneLabel::minimumSizeHint() const {
  const QSize hint = QLabel::minimumSizeHint();
  return wordWrap() ? QSize(hint.width(), heightForWidth(width())) : hint;
}

void ToneLabel::resizeEvent(QResizeEvent* event) {
  QLabel::resizeEvent(event);
  if (wordWrap() && event->size().width() != event->oldSize().width()) updateGeometry();
}

void ToneLabel::recolor() {
  const Theme& colors = theme();
  const QColor color = m_tone == Normal     ? colors.text
                       : m_tone == Muted    ? colors.muted
                       : m_tone == Ok       ? colors.ok
                       : m_tone == Warning  ? colors.warning
                       : m_tone == Critical ? colors.critical
                                            : colors.accent;
  QPalette own = palette();
  own.setColor(QPalette::WindowText, color);
  own.setColor(QPalette::Text, color);
  setPalette(own);
}

QSize ElidedLabel::minimumSizeHint() const {
  const QSize whole = sizeHint();
  return {std::min(whole.width(), fontMetrics().averageCharWidth() * kMinChars), whole.height()};
}

void ElidedLabel::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const QRect area = contentsRect();
  style()->drawItemText(&painter, area, static_cast<int>(alignment()), palette(), isEnabled(),
                        fontMetrics().elidedText(text(), Qt::ElideRight, area.width()),
                        foregroundRole());
}

bool ElidedLabel::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip && toolTip().isEmpty() && sizeHint().width() > width()) {
    QToolTip::showText(static_cast<QHelpEvent*>(event)->globalPos(), text(), this);
    return true;
  }
  return ToneLabel::event(event);
}

}  // namespace tera::gui
