#include "gui/widgets/card.h"

#include <QEvent>
#include <QHeaderView>
#include <QPainter>

#include "gui/theme.h"

namespace tera::gui {

QFont scaledFont(const QWidget& widget, double factor, QFont::Weight weight) {
  QFont font = widget.font();
  font.setPointSizeF(font.pointSizeF() * factor);
  font.setWeight(weight);
  return font;
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
  if (event->type() == QEvent::ApplicationPaletteChange) recolor();
  QLabel::changeEvent(event);
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

void clearBase(QAbstractItemView& view) {
  QPalette clear = view.palette();
  clear.setColor(QPalette::Base, Qt::transparent);
  view.setPalette(clear);
}

QTableView* makeTable(QAbstractItemModel* model, const QString& accessibleName) {
  auto* table = new QTableView;
  table->setModel(model);
  table->setAccessibleName(accessibleName);
  table->setShowGrid(false);
  table->setFrameShape(QFrame::NoFrame);
  table->setSelectionBehavior(QAbstractItemView::SelectRows);
  table->setSelectionMode(QAbstractItemView::SingleSelection);
  table->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table->setTabKeyNavigation(false);
  clearBase(*table);
  table->setWordWrap(false);
  table->verticalHeader()->setSectionResizeMode(QHeaderView::Fixed);
  table->verticalHeader()->setDefaultSectionSize(table->fontMetrics().height() + 7);
  table->verticalHeader()->hide();
  table->horizontalHeader()->setHighlightSections(false);
  table->horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
  table->horizontalHeader()->setStretchLastSection(true);
  table->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  return table;
}

}  // namespace tera::gui
