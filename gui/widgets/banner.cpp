#include "gui/widgets/banner.h"

#include <utility>

#include <QHBoxLayout>
#include <QPainter>
#include <QPushButton>
#include <QToolButton>

#include "gui/icons.h"
#include "gui/text.h"
#include "gui/theme.h"
#include "gui/widgets/card.h"

namespace tera::gui {

Banner::Banner(QWidget* parent) : QFrame(parent) {
  auto* layout = new QHBoxLayout(this);
  layout->setContentsMargins(14, 6, 8, 6);
  m_text = new ToneLabel({}, ToneLabel::Normal);
  m_text->setWordWrap(true);
  m_text->setTextInteractionFlags(Qt::TextSelectableByMouse);
  m_text->setFocusPolicy(Qt::NoFocus);
  m_action = new QPushButton;
  m_close = new QToolButton;
  m_close->setAutoRaise(true);
  m_close->setIcon(themedIcon("close"));
  m_close->setAccessibleName(tr("Close message"));
  m_close->setToolTip(tr("Close"));
  layout->addWidget(m_text, 1);
  layout->addWidget(m_action);
  layout->addWidget(m_close);
  connect(m_close, &QToolButton::clicked, this, &QWidget::hide);
  connect(m_action, &QPushButton::clicked, this, [this] {
    hide();
    if (const auto run = std::exchange(m_run, nullptr)) run();
  });
  hide();
}

void Banner::show(const QString& message,
                  bool isProblem,
                  const QString& action,
                  std::function<void()> run) {
  m_isProblem = isProblem;
  m_text->setText((isProblem ? QStringLiteral("▲  ") : QStringLiteral("●  ")) + message);
  m_action->setText(action);
  m_action->setAccessibleName(action);
  m_action->setVisible(!action.isEmpty());
  m_run = std::move(run);
  setAccessibleName(message);
  QFrame::show();
}

void Banner::show(const Error& error, const QString& action, std::function<void()> run) {
  show(qs(error.message + (error.hint.empty() ? "" : "\n" + error.hint)), true, action,
       std::move(run));
}

QString Banner::message() const {
  return isVisibleTo(parentWidget()) ? m_text->text() : QString();
}

void Banner::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  const QColor tone = m_isProblem ? theme().warning : theme().accent;
  QColor fill = tone;
  fill.setAlpha(30);
  painter.fillRect(rect(), fill);
  painter.fillRect(QRect(0, 0, 4, height()), tone);
}

}  // namespace tera::gui
