// SectionButton: the title of a section of a form: a chevron and bold text across the whole width.
#pragma once
#include <QAbstractButton>

namespace tera::gui {

class SectionButton : public QAbstractButton {
  Q_OBJECT
 public:
  explicit SectionButton(const QString& title, QWidget* parent = nullptr);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override { return sizeHint(); }

 protected:
  void paintEvent(QPaintEvent* event) override;
};

}  // namespace tera::gui
