// QuantityBox: a spin box for the numbers of a spec. Accepts what people write ("7k", "7*1024",
// "80GiB"), steps by a useful amount, doubles with PgUp, and turns with the wheel only when
// focused.
#pragma once
#include <QAbstractSpinBox>

#include "core/spec/yaml.h"

namespace tera::gui {

class QuantityBox : public QAbstractSpinBox {
  Q_OBJECT
 public:
  explicit QuantityBox(const spec::FieldInfo& info, QWidget* parent = nullptr);

  double value() const { return m_value; }
  // Shows another value; text under the cursor that already means it is left alone.
  void setValue(double value);
  void setUnknown();  // shows "n/a" until the next setValue
  // The YAML scalar of the value: exact for integers, shortest that reads back for doubles.
  QString scalar() const;
  // Why the text in the box is not taken; empty when it is.
  const QString& problem() const { return m_problem; }

  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;
  void stepBy(int steps) override;
  QValidator::State validate(QString& input, int& position) const override;

 signals:
  void edited();  // by a person; value() is new
  void problemChanged();

 protected:
  StepEnabled stepEnabled() const override;
  void keyPressEvent(QKeyEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;

 private:
  QString textOf(double value) const;
  void readText(const QString& text);
  void accept(double value);
  void setProblem(const QString& problem);

  spec::FieldInfo m_info;
  double m_value = 0;
  QString m_problem;
};

}  // namespace tera::gui
