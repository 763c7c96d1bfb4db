// DiagnosticModel: findings of validation, worst first. Rows: severity, field, message, hint, line.
#pragma once
#include "core/base/error.h"
#include "gui/models/table_model.h"

namespace tera::gui {

class DiagnosticModel : public TableModel<Diagnostic> {
  Q_OBJECT
 public:
  enum Column { SeverityColumn, FieldColumn, MessageColumn, HintColumn, LineColumn };
  explicit DiagnosticModel(QObject* parent = nullptr);
  void setDiagnostics(std::vector<Diagnostic> diagnostics);
  int count(Severity severity) const;

  // "■ error", "▲ warning", "● note": shape and word beside the colour.
  static QString severityText(Severity severity);

 protected:
  QVariant cell(const Diagnostic& row, int column, int role) const override;
};

}  // namespace tera::gui
