// FieldForm: a form made from the field lists of the spec. Label, unit, range, step, help and
// accessible text of every editor come from its Field; nothing is written by hand per field. While
// the YAML text cannot be read the form is disabled, and empty if it never could be.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <QAbstractButton>
#include <QGridLayout>
#include <QScrollArea>

#include "core/base/error.h"
#include "core/spec/yaml.h"

namespace tera::gui {

class Document;
class ToneLabel;

struct FormSection {
  QString title;
  std::vector<std::string> paths;  // "model.num_layers"; one ending in '*' takes what is left of it
  bool expanded = true;
};

class FieldForm : public QScrollArea {
  Q_OBJECT
 public:
  FieldForm(Document& document, std::vector<FormSection> sections, QWidget* parent = nullptr);

  // Opens the field's section, scrolls to it and gives it the focus. False: not in this form.
  bool focusField(const std::string& path);
  QWidget* editor(const std::string& path) const;
  // As wide as the widest section, also while that is closed: opening one moves nothing sideways.
  QSize minimumSizeHint() const override;

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  struct Row {
    spec::FieldInfo info;
    QWidget* label = nullptr;
    QWidget* editor = nullptr;
    ToneLabel* message = nullptr;
    QAbstractButton* section = nullptr;
    std::function<void(const std::optional<QString>& scalar)> show;  // none: not known
  };
  void addSection(QVBoxLayout* layout, const FormSection& section);
  void addRow(QGridLayout* grid, const spec::FieldInfo& info, QAbstractButton* section);
  void makeEditor(Row& row);
  void describe(const Row& row);
  void commit(const std::string& path, const QString& scalar);
  void showValues();
  void showState();
  void showMessages();
  void setMessage(Row& row, Severity severity, const QString& text);

  Document& m_document;
  std::vector<std::string> m_taken;  // paths that already have a row
  std::map<std::string, Row> m_rows;
  std::vector<QGridLayout*> m_grids;  // of the sections
  bool m_showing = false;  // values are being put into editors; their signals are not edits
};

}  // namespace tera::gui
