// Finds a widget as a person does: by what is written on it or what a screen reader calls it.
#pragma once
#include <QAbstractButton>
#include <QWidget>

namespace tera::gui::test {

// Both nullptr where there is none.
inline QAbstractButton* buttonSaying(const QWidget& in, const QString& text) {
  for (auto* button : in.findChildren<QAbstractButton*>())
    if (button->text() == text) return button;
  return nullptr;
}

template <class W>
W* called(const QWidget& in, const QString& accessibleName) {
  for (auto* widget : in.findChildren<W*>())
    if (widget->accessibleName() == accessibleName) return widget;
  return nullptr;
}

}  // namespace tera::gui::test
