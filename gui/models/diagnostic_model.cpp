#include "gui/models/diagnostic_model.h"

#include <algorithm>

#include "gui/text.h"

namespace tera::gui {

DiagnosticModel::DiagnosticModel(QObject* parent)
    : TableModel({tr("Severity"), tr("Field"), tr("Problem"), tr("What to do"), tr("Line")},
                 parent) {}

void DiagnosticModel::setDiagnostics(std::vector<Diagnostic> diagnostics) {
  std::stable_sort(
      diagnostics.begin(), diagnostics.end(),
      [](const Diagnostic& a, const Diagnostic& b) { return a.severity > b.severity; });
  setRows(std::move(diagnostics));
}

int DiagnosticModel::count(Severity severity) const {
  return static_cast<int>(
      std::count_if(rows().begin(), rows().end(),
                    [severity](const Diagnostic& d) { return d.severity == severity; }));
}

QString DiagnosticModel::severityText(Severity severity) {
  switch (severity) {
    case Severity::error:
      return tr("■ error");
    case Severity::warning:
      return tr("▲ warning");
    case Severity::note:
      return tr("● note");
  }
  return {};
}

QVariant DiagnosticModel::cell(const Diagnostic& row, int column, int role) const {
  if (role == Qt::UserRole) return static_cast<int>(row.severity);
  if (role == Qt::ToolTipRole && !row.hint.empty()) return qs(row.message + "\n" + row.hint);
  if (role != Qt::DisplayRole) return {};
  switch (column) {
    case SeverityColumn:
      return severityText(row.severity);
    case FieldColumn:
      return qs(row.field);
    case MessageColumn:
      return qs(row.message);
    case HintColumn:
      return qs(row.hint);
    case LineColumn:
      return row.line > 0 ? QVariant(row.line) : QVariant();
    default:
      return {};
  }
}

}  // namespace tera::gui
