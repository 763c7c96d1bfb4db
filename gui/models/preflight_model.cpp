#include "gui/models/preflight_model.h"

#include <algorithm>

#include "gui/text.h"

namespace tera::gui {

using launch::Check;
using launch::CheckState;

PreflightModel::PreflightModel(QObject* parent)
    : TableModel({tr("State"), tr("Check"), tr("Found")}, parent) {}

int PreflightModel::count(CheckState state) const {
  return static_cast<int>(std::count_if(rows().begin(), rows().end(),
                                        [state](const Check& c) { return c.state == state; }));
}

QString PreflightModel::stateText(CheckState state) {
  switch (state) {
    case CheckState::ok:
      return tr("✓ ok");
    case CheckState::warning:
      return tr("▲ look");
    case CheckState::failed:
      return tr("■ stop");
  }
  return {};
}

QVariant PreflightModel::cell(const Check& row, int column, int role) const {
  if (role == Qt::UserRole) return static_cast<int>(row.state);
  const QString found =
      row.hint.empty() ? qs(row.detail) : tr("%1 — %2").arg(qs(row.detail), qs(row.hint));
  if (role == Qt::ToolTipRole) return found;
  if (role != Qt::DisplayRole) return {};
  switch (column) {
    case StateColumn:
      return stateText(row.state);
    case NameColumn: {
      const QString name = qs(row.name);
      return name.left(1).toUpper() + name.mid(1);
    }
    case DetailColumn:
      return found;
    default:
      return {};
  }
}

}  // namespace tera::gui
