// Banner: one message across the top of a page, with a button for the likely next step and one to
// close.
#pragma once
#include <functional>

#include <QFrame>

#include "core/base/error.h"

class QPushButton;
class QToolButton;

namespace tera::gui {

class ToneLabel;

class Banner : public QFrame {
  Q_OBJECT
 public:
  explicit Banner(QWidget* parent = nullptr);
  // action: empty shows no button. The banner closes when its button is pressed.
  void show(const QString& message,
            bool isProblem,
            const QString& action = {},
            std::function<void()> run = {});
  // A problem with its hint on a line of its own.
  void show(const Error& error, const QString& action = {}, std::function<void()> run = {});
  QString message() const;  // empty when it is closed

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  ToneLabel* m_text;
  QPushButton* m_action;
  QToolButton* m_close;
  std::function<void()> m_run;
  bool m_isProblem = false;
};

}  // namespace tera::gui
