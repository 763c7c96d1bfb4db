// Card: a titled panel. Small helpers that every page uses.
#pragma once
#include <QAbstractItemView>
#include <QFrame>
#include <QLabel>
#include <QTableView>
#include <QVBoxLayout>

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

// A label in the muted or in a status colour that follows the theme.
class ToneLabel : public QLabel {
  Q_OBJECT
 public:
  enum Tone { Normal, Muted, Ok, Warning, Critical, Accent };
  explicit ToneLabel(const QString& text = {}, Tone tone = Muted, QWidget* parent = nullptr);
  void setTone(Tone tone);

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void recolor();
  Tone m_tone;
};

// A table for reading: fixed row height (fast for any number of rows), whole-row selection, no
// grid.
QTableView* makeTable(QAbstractItemModel* model, const QString& accessibleName);

// Lets the card under a list or table show through.
void clearBase(QAbstractItemView& view);

// Larger or smaller than the application font, in points; bold if asked.
QFont scaledFont(const QWidget& widget, double factor, QFont::Weight weight = QFont::Normal);

}  // namespace tera::gui
