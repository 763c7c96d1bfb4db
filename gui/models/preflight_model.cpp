#include "gui/models/preflight_model.h"

#include <algorithm>

namespace tera::gui {

PreflightModel::PreflightModel(QObject* parent)
    : TableModel({tr("State"), tr("Check"), tr("Found")}, parent) {}

int PreflightModel::count(CheckState state) const {
  return static_cast<int>(std::count_if(rows().begin(), rows().end(),
                                        [state](const Check& c) { return c.state == state; }));
}

QString PreflightModel::stateText(CheckState state) {
  switch (state) {
    case CheckState::Ok:
      return tr("✓ ok");
    case CheckState::Warning:
      return tr("▲ look");
    case CheckState::Failed:
      return tr("■ stop");
  }
  return {};
}

QVariant PreflightModel::cell(const Check& row, int column, int role) const {
  if (role == Qt::UserRole) return static_cast<int>(row.state);
  const QString found = row.hint.isEmpty() ? row.detail : tr("%1 — %2").arg(row.detail, row.hint);
  if (role == Qt::ToolTipRole) return found;
  if (role != Qt::DisplayRole) return {};
  switch (column) {
    case StateColumn:
      return stateText(row.state);
    case TitleColumn:
      return row.title;
    case DetailColumn:
      return found;
    default:
      return {};
  }
}

}  // namespace tera::gui
