// YamlEditor: the text of the spec beside its form. Line numbers, marks at lines with findings,
// colours for keys, values and comments. Typing goes to the document at once; undo is the
// document's.
#pragma once
#include <QPlainTextEdit>

#include "core/base/error.h"

namespace tera::gui {

class Document;

class YamlEditor : public QPlainTextEdit {
  Q_OBJECT
 public:
  explicit YamlEditor(Document& document, QWidget* parent = nullptr);
  void goToLine(int line);                  // 1-based
  int markedLine(Severity severity) const;  // first line with such a finding; 0 = none

 protected:
  bool event(QEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  friend class LineNumbers;
  void showText();  // document -> editor, keeping the cursor where it was
  void showMarks();
  int gutterWidth() const;
  void paintGutter(QPaintEvent* event);

  Document& m_document;
  QWidget* m_gutter;
  bool m_showing = false;
  std::vector<Diagnostic> m_found;  // with a line
};

}  // namespace tera::gui
