#include "gui/widgets/field_form.h"

#include <algorithm>
#include <cmath>

#include <QCheckBox>
#include <QComboBox>
#include <QEvent>
#include <QKeyEvent>
#include <QLineEdit>
#include <QScrollBar>
#include <QStyle>

#include "core/base/units.h"
#include "gui/document.h"
#include "gui/models/diagnostic_model.h"
#include "gui/text.h"
#include "gui/undo_keys.h"
#include "gui/widgets/card.h"
#include "gui/widgets/field_text.h"
#include "gui/widgets/quantity_box.h"
#include "gui/widgets/section_button.h"

namespace tera::gui {
namespace {

using Kind = spec::FieldInfo::Kind;

// A combo box that turns with the wheel only when focused.
class QuietComboBox : public QComboBox {
 public:
  using QComboBox::QComboBox;

 protected:
  void wheelEvent(QWheelEvent* event) override {
    hasFocus() ? QComboBox::wheelEvent(event) : event->ignore();
  }
};

}  // namespace

FieldForm::FieldForm(Document& document, std::vector<FormSection> sections, QWidget* parent)
    : QScrollArea(parent), m_document(document) {
  setWidgetResizable(true);
  setFrameShape(QFrame::NoFrame);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setFocusPolicy(Qt::NoFocus);
  setAutoFillBackground(false);
  viewport()->setAutoFillBackground(false);
  auto* content = new QWidget;
  auto* layout = new QVBoxLayout(content);
  layout->setContentsMargins(0, 0, 8, 0);
  layout->setSpacing(4);
  for (const FormSection& section : sections) {
    for (const std::string& path : section.paths)
      if (!path.ends_with('*')) m_taken.push_back(path);
  }
  for (const FormSection& section : sections)
    addSection(layout, section);
  layout->addStretch(1);
  setWidget(content);
  content->setAutoFillBackground(false);  // setWidget switches it on; the card shows through
  connect(&document, &Document::specChanged, this, &FieldForm::showValues);
  connect(&document, &Document::diagnosticsChanged, this, &FieldForm::showState);
  showValues();
  showState();
}

// Whether the text can be read: while it cannot, nothing can be edited here, and before it ever
// could, no value is known.
void FieldForm::showState() {
  widget()->setEnabled(m_document.isGood());
  if (!m_document.wasGood()) showValues();
  showMessages();
}

void FieldForm::addSection(QVBoxLayout* layout, const FormSection& section) {
  auto* toggle = new SectionButton(section.title);
  toggle->setChecked(section.expanded);
  layout->addWidget(toggle);
  auto* body = new QWidget;
  auto* grid = new QGridLayout(body);
  grid->setContentsMargins(6, 0, 0, 6);
  grid->setHorizontalSpacing(8);
  grid->setVerticalSpacing(4);
  grid->setColumnStretch(0, 1);
  m_grids.push_back(grid);
  layout->addWidget(body);
  body->setVisible(section.expanded);
  connect(toggle, &QAbstractButton::toggled, body, &QWidget::setVisible);
  for (const std::string& path : section.paths) {
    for (const spec::FieldInfo& info : spec::all_fields()) {
      const bool rest = path.ends_with('*') &&
                        info.path.starts_with(path.substr(0, path.size() - 1)) &&
                        std::find(m_taken.begin(), m_taken.end(), info.path) == m_taken.end();
      if ((rest || info.path == path) && m_rows.count(info.path) == 0 && info.kind != Kind::list)
        addRow(grid, info, toggle);
    }
  }
}

void FieldForm::addRow(QGridLayout* grid, const spec::FieldInfo& info, QAbstractButton* section) {
  Row row;
  row.info = info;
  row.section = section;
  makeEditor(row);
  auto* label = new QLabel(fieldLabel(info));
  label->setBuddy(row.editor);
  row.label = label;
  row.message = new ToneLabel({}, ToneLabel::Warning);
  row.message->setWordWrap(true);
  row.message->setFont(scaledFont(*this, 0.92));
  row.message->hide();
  describe(row);
  row.editor->installEventFilter(this);
  for (QLineEdit* edit : row.editor->findChildren<QLineEdit*>())
    edit->installEventFilter(this);
  const int line = grid->rowCount();
  grid->addWidget(label, line, 0);
  grid->addWidget(row.editor, line, 1);
  grid->addWidget(row.message, line + 1, 0, 1, 2);
  m_rows.emplace(info.path, std::move(row));
}

void FieldForm::makeEditor(Row& row) {
  const std::string path = row.info.path;
  if (row.info.kind == Kind::boolean) {
    auto* box = new QCheckBox;
    connect(box, &QCheckBox::toggled, this,
            [this, path](bool on) { commit(path, on ? "true" : "false"); });
    row.show = [box](const std::optional<QString>& scalar) {
      box->setTristate(!scalar);
      box->setCheckState(!scalar                            ? Qt::PartiallyChecked
                         : *scalar == QLatin1String("true") ? Qt::Checked
                                                            : Qt::Unchecked);
    };
    row.editor = box;
  } else if (row.info.kind == Kind::choice) {
    auto* box = new QuietComboBox;
    box->setFocusPolicy(Qt::StrongFocus);
    for (const std::string_view choice : row.info.choices)
      box->addItem(qs(choice));
    connect(box, &QComboBox::currentTextChanged, this,
            [this, path](const QString& text) { commit(path, text); });
    row.show = [box](const std::optional<QString>& scalar) {
      scalar ? box->setCurrentText(*scalar) : box->setCurrentIndex(-1);
    };
    row.editor = box;
  } else if (row.info.kind == Kind::text) {
    auto* edit = new QLineEdit;
    connect(edit, &QLineEdit::textEdited, this,
            [this, path](const QString& text) { commit(path, text); });
    row.show = [edit](const std::optional<QString>& scalar) {
      if (edit->text() == scalar.value_or(QString())) return;
      edit->setText(scalar.value_or(QString()));
      edit->setCursorPosition(0);  // of a long text the beginning is seen
    };
    row.editor = edit;
  } else {
    auto* box = new QuantityBox(row.info);
    connect(box, &QuantityBox::edited, this, [this, box, path] { commit(path, box->scalar()); });
    connect(box, &QuantityBox::problemChanged, this, &FieldForm::showMessages);
    row.show = [box](const std::optional<QString>& scalar) {
      if (!scalar) return box->setUnknown();
      if (const Result<double> value = parse_quantity(ss(*scalar))) box->setValue(*value);
    };
    row.editor = box;
  }
}

void FieldForm::describe(const Row& row) {
  const Field& field = row.info.field;
  QString text = qs(field.help);
  const QString range = rangeText(row.info);
  const QString unit = field.unit.empty() ? QString() : tr("Unit: %1.").arg(qs(field.unit));
  for (const QString& part : {range, unit}) {
    if (!part.isEmpty()) text += QLatin1Char(' ') + part;
  }
  row.editor->setAccessibleName(fieldLabel(row.info));
  row.editor->setAccessibleDescription(text);
  QString tip =
      QStringLiteral("<p><b>%1</b></p><p>%2</p>").arg(qs(row.info.path), text.toHtmlEscaped());
  if (!field.source.empty())
    tip += QStringLiteral("<p><i>%1</i></p>").arg(qs(field.source).toHtmlEscaped());
  row.editor->setToolTip(tip);
  row.label->setToolTip(tip);
  row.editor->setWhatsThis(tip);
}

void FieldForm::commit(const std::string& path, const QString& scalar) {
  if (m_showing) return;
  const Result<void> done = m_document.setField(path, ss(scalar));
  const auto row = m_rows.find(path);
  if (!done && row != m_rows.end())
    setMessage(row->second, Severity::error, qs(done.error().message));
}

void FieldForm::showValues() {
  m_showing = true;
  for (auto& [path, row] : m_rows) {
    const Result<std::string> scalar = spec::get_field(m_document.spec(), path);
    row.show(scalar && m_document.wasGood() ? std::optional(qs(*scalar)) : std::nullopt);
  }
  m_showing = false;
}

void FieldForm::showMessages() {
  for (auto& [path, row] : m_rows) {
    if (const auto* box = qobject_cast<QuantityBox*>(row.editor);
        box && !box->problem().isEmpty()) {
      setMessage(row, Severity::error, box->problem());
      continue;
    }
    const Diagnostic* worst = nullptr;
    for (const Diagnostic& found : m_document.diagnostics()) {
      if (found.field == path && (worst == nullptr || found.severity > worst->severity))
        worst = &found;
    }
    if (worst == nullptr) {
      setMessage(row, Severity::note, {});
    } else {
      setMessage(row, worst->severity,
                 qs(worst->message + (worst->hint.empty() ? "" : " — " + worst->hint)));
    }
  }
}

void FieldForm::setMessage(Row& row, Severity severity, const QString& text) {
  row.message->setVisible(!text.isEmpty());
  if (text.isEmpty()) return;
  row.message->setTone(severity == Severity::error     ? ToneLabel::Critical
                       : severity == Severity::warning ? ToneLabel::Warning
                                                       : ToneLabel::Muted);
  const QString mark = DiagnosticModel::severityText(severity).left(1);
  row.message->setText(mark + QLatin1Char(' ') + text);
  if (severity == Severity::error) row.section->setChecked(true);
}

bool FieldForm::focusField(const std::string& path) {
  const auto row = m_rows.find(path);
  if (row == m_rows.end()) return false;
  row->second.section->setChecked(true);
  ensureWidgetVisible(row->second.editor);
  row->second.editor->setFocus(Qt::ShortcutFocusReason);
  return true;
}

QWidget* FieldForm::editor(const std::string& path) const {
  const auto row = m_rows.find(path);
  return row == m_rows.end() ? nullptr : row->second.editor;
}

QSize FieldForm::minimumSizeHint() const {
  const QMargins margins = widget()->layout()->contentsMargins();
  int width = 0;
  for (const QGridLayout* grid : m_grids)
    width = std::max(width, grid->totalMinimumSize().width());
  width += margins.left() + margins.right() +
           style()->pixelMetric(QStyle::PM_ScrollBarExtent, nullptr, verticalScrollBar());
  return {width, QScrollArea::minimumSizeHint().height()};
}

// Undo and redo in a form field belong to the document, not to the text of one line edit.
bool FieldForm::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::ShortcutOverride) {
    const auto* key = static_cast<QKeyEvent*>(event);
    if (isUndoOrRedo(*key)) {
      event->ignore();
      return true;
    }
  }
  if (event->type() == QEvent::FocusIn) {
    if (auto* widget = qobject_cast<QWidget*>(watched)) ensureWidgetVisible(widget, 0, 24);
  }
  return QScrollArea::eventFilter(watched, event);
}

}  // namespace tera::gui
