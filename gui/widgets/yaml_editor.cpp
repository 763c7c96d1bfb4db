#include "gui/widgets/yaml_editor.h"

#include <algorithm>

#include <QFontDatabase>
#include <QKeyEvent>
#include <QPainter>
#include <QRegularExpression>
#include <QSyntaxHighlighter>
#include <QTextBlock>

#include "gui/document.h"
#include "gui/text.h"
#include "gui/theme.h"
#include "gui/undo_keys.h"

namespace tera::gui {

class LineNumbers : public QWidget {
 public:
  explicit LineNumbers(YamlEditor& editor) : QWidget(&editor), m_editor(editor) {}

 protected:
  void paintEvent(QPaintEvent* event) override { m_editor.paintGutter(event); }

 private:
  YamlEditor& m_editor;
};

namespace {

class YamlHighlighter : public QSyntaxHighlighter {
 public:
  using QSyntaxHighlighter::QSyntaxHighlighter;

 protected:
  void highlightBlock(const QString& text) override {
    static const QRegularExpression key(
        QStringLiteral("(?:^|[{,]|-\\s)\\s*([A-Za-z_][\\w-]*)\\s*:"));
    static const QRegularExpression number(
        QStringLiteral("(?<=[:\\s,\\[])-?\\d[\\d._]*(?:e[-+]?\\d+)?(?=[\\s,}\\]]|$)"));
    const Theme& colors = theme();
    for (auto it = number.globalMatch(text); it.hasNext();) {
      const auto match = it.next();
      setFormat(static_cast<int>(match.capturedStart()), static_cast<int>(match.capturedLength()),
                colors.seriesColor(1));
    }
    for (auto it = key.globalMatch(text); it.hasNext();) {
      const auto match = it.next();
      setFormat(static_cast<int>(match.capturedStart(1)), static_cast<int>(match.capturedLength(1)),
                colors.accent);
    }
    static const QRegularExpression comment(QStringLiteral("(^|\\s)#.*$"));
    if (const auto match = comment.match(text); match.hasMatch())
      setFormat(static_cast<int>(match.capturedStart()), static_cast<int>(match.capturedLength()),
                colors.muted);
  }
};

}  // namespace

YamlEditor::YamlEditor(Document& document, QWidget* parent)
    : QPlainTextEdit(parent), m_document(document), m_gutter(new LineNumbers(*this)) {
  setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
  setLineWrapMode(QPlainTextEdit::NoWrap);
  setUndoRedoEnabled(false);  // one undo for form and text: the document's
  setTabChangesFocus(true);   // YAML has no tabs, and the keyboard gets out again
  setFrameShape(QFrame::NoFrame);
  setAccessibleName(tr("YAML text of the spec"));
  new YamlHighlighter(QPlainTextEdit::document());
  setViewportMargins(gutterWidth(), 0, 0, 0);
  connect(this, &QPlainTextEdit::updateRequest, m_gutter, [this](const QRect& area, int dy) {
    dy != 0 ? m_gutter->scroll(0, dy)
            : m_gutter->update(0, area.y(), m_gutter->width(), area.height());
  });
  connect(this, &QPlainTextEdit::blockCountChanged, this,
          [this] { setViewportMargins(gutterWidth(), 0, 0, 0); });
  connect(this, &QPlainTextEdit::textChanged, this, [this] {
    if (m_showing) return;
    QString text = toPlainText();
    if (m_document.text().contains(QLatin1String("\r\n")))  // which the widget does not keep
      text.replace(QLatin1Char('\n'), QLatin1String("\r\n"));
    m_document.setText(text);
  });
  connect(&document, &Document::textChanged, this, &YamlEditor::showText);
  connect(&document, &Document::diagnosticsChanged, this, &YamlEditor::showMarks);
  showText();
  showMarks();
}

// Replaces only what differs, so that cursor, selection and scroll position stay where they are.
void YamlEditor::showText() {
  const QString now = toPlainText();
  QString wanted = m_document.text();
  wanted.remove(QLatin1Char('\r'));
  if (now == wanted) return;
  qsizetype head = 0;
  const qsizetype common = std::min(now.size(), wanted.size());
  while (head < common && now[head] == wanted[head])
    ++head;
  qsizetype tail = 0;
  while (tail < common - head && now[now.size() - 1 - tail] == wanted[wanted.size() - 1 - tail])
    ++tail;
  m_showing = true;
  QTextCursor cursor(QPlainTextEdit::document());
  cursor.setPosition(static_cast<int>(head));
  cursor.setPosition(static_cast<int>(now.size() - tail), QTextCursor::KeepAnchor);
  cursor.insertText(wanted.mid(head, wanted.size() - head - tail));
  m_showing = false;
}

void YamlEditor::showMarks() {
  m_found.clear();
  for (const Diagnostic& found : m_document.diagnostics()) {
    if (found.line > 0) m_found.push_back(found);
  }
  QList<QTextEdit::ExtraSelection> marks;
  for (const Diagnostic& found : m_found) {
    QTextEdit::ExtraSelection mark;
    mark.cursor = QTextCursor(QPlainTextEdit::document()->findBlockByNumber(found.line - 1));
    QColor fill = found.severity == Severity::error     ? theme().critical
                  : found.severity == Severity::warning ? theme().warning
                                                        : theme().ok;
    fill.setAlpha(40);
    mark.format.setBackground(fill);
    mark.format.setProperty(QTextFormat::FullWidthSelection, true);
    marks.append(mark);
  }
  setExtraSelections(marks);
  m_gutter->update();
}

void YamlEditor::goToLine(int line) {
  setTextCursor(QTextCursor(QPlainTextEdit::document()->findBlockByNumber(line - 1)));
  centerCursor();
  setFocus();
}

int YamlEditor::markedLine(Severity severity) const {
  const auto found = std::find_if(m_found.begin(), m_found.end(),
                                  [&](const Diagnostic& d) { return d.severity == severity; });
  return found == m_found.end() ? 0 : found->line;
}

bool YamlEditor::event(QEvent* event) {
  if (event->type() == QEvent::ShortcutOverride) {
    const auto* key = static_cast<QKeyEvent*>(event);
    if (isUndoOrRedo(*key)) {
      event->ignore();
      return true;
    }
  }
  if (event->type() == QEvent::ToolTip) {
    const int line = cursorForPosition(mapFromGlobal(QCursor::pos())).blockNumber() + 1;
    for (const Diagnostic& found : m_found) {
      if (found.line == line)
        setToolTip(qs(found.message + (found.hint.empty() ? "" : "\n" + found.hint)));
    }
  }
  return QPlainTextEdit::event(event);
}

int YamlEditor::gutterWidth() const {
  return 22 + fontMetrics().horizontalAdvance(QLatin1Char('9')) *
                  static_cast<int>(QString::number(blockCount()).size());
}

void YamlEditor::resizeEvent(QResizeEvent* event) {
  QPlainTextEdit::resizeEvent(event);
  m_gutter->setGeometry(0, 0, gutterWidth(), height());
}

void YamlEditor::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange) {
    for (auto* highlighter : QPlainTextEdit::document()->findChildren<QSyntaxHighlighter*>())
      highlighter->rehighlight();
    showMarks();
  }
  QPlainTextEdit::changeEvent(event);
}

void YamlEditor::paintGutter(QPaintEvent* event) {
  QPainter painter(m_gutter);
  painter.fillRect(event->rect(), theme().panel);
  painter.setFont(font());
  QTextBlock block = firstVisibleBlock();
  double top = blockBoundingGeometry(block).translated(contentOffset()).top();
  while (block.isValid() && top <= event->rect().bottom()) {
    const double height = blockBoundingRect(block).height();
    const int line = block.blockNumber() + 1;
    const auto found = std::find_if(m_found.begin(), m_found.end(),
                                    [&](const Diagnostic& d) { return d.line == line; });
    const QRectF area(0, top, m_gutter->width() - 6, height);
    if (found != m_found.end()) {
      const bool error = found->severity == Severity::error;
      painter.setPen(error ? theme().critical : theme().warning);
      painter.drawText(area.adjusted(3, 0, 0, 0), Qt::AlignLeft,
                       error ? QStringLiteral("■") : QStringLiteral("▲"));
    } else {
      painter.setPen(theme().disabled);
    }
    painter.drawText(area, Qt::AlignRight, QString::number(line));
    top += height;
    block = block.next();
  }
}

}  // namespace tera::gui
