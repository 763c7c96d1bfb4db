// Card: a titled panel. Labels in the colours of the theme. What every page uses.
#pragma once
#include <QFrame>
#include <QLabel>
#include <QVBoxLayout>

class QSplitter;

namespace tera::gui {

class Card : public QFrame {
  Q_OBJECT
 public:
  explicit Card(const QString& title, QWidget* parent = nullptr);
  QVBoxLayout* body() { return m_body; }
  QHBoxLayout* header() { return m_header; }  // for buttons at the right of the title
  void setTitle(const QString& title);

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  QLabel* m_title;
  QHBoxLayout* m_header;
  QVBoxLayout* m_body;
};

// A label in the muted or in a status colour that follows the theme. With word wrap its least
// height is what its text needs at the width it has, so that no layout cuts it (QLabel's is one
// line).
class ToneLabel : public QLabel {
  Q_OBJECT
 public:
  enum Tone { Normal, Muted, Ok, Warning, Critical, Accent };
  explicit ToneLabel(const QString& text = {}, Tone tone = Muted, QWidget* parent = nullptr);
  void setTone(Tone tone);
  bool hasHeightForWidth() const override { return false; }
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void changeEvent(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;

 private:
  void recolor();
  Tone m_tone;
};

// One line that ends in "…" where there is no room, and tells all of it in its tooltip.
class ElidedLabel : public ToneLabel {
  Q_OBJECT
 public:
  using ToneLabel::ToneLabel;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;
  bool event(QEvent* event) override;  // tooltip
};

// A splitter that cannot hide its parts; the window remembers its sizes under this name.
QSplitter* makeSplitter(Qt::Orientation orientation, const char* name);

// Larger or smaller than the application font, in points; bold if asked.
QFont scaledFont(const QWidget& widget, double factor, QFont::Weight weight = QFont::Normal);

}  // namespace tera::gui
