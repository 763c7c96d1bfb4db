#include "gui/models/log_model.h"

#include <QDateTime>

#include "core/base/units.h"
#include "gui/text.h"

namespace tera::gui {

LogModel::LogModel(QObject* parent) : TableModel({tr("Line")}, parent) {}

void LogModel::append(const QStringList& lines) {
  std::vector<QString> rows(lines.begin(), lines.end());
  if (rows.size() > kMaxLines) rows.erase(rows.begin(), rows.end() - kMaxLines);
  const int surplus = rowCount() + static_cast<int>(rows.size()) - kMaxLines;
  removeFirst(std::min(surplus, rowCount()));
  appendRows(std::move(rows));
}

void LogModel::clear() {
  setRows({});
}

QVariant LogModel::cell(const QString& row, int, int role) const {
  return role == Qt::DisplayRole || role == Qt::ToolTipRole ? QVariant(row) : QVariant();
}

EventModel::EventModel(QObject* parent)
    : TableModel({tr("Time"), tr("Event"), tr("Step"), tr("What")}, parent) {}

QVariant EventModel::cell(const run::RunEvent& row, int column, int role) const {
  if (role != Qt::DisplayRole && role != Qt::ToolTipRole) return {};
  switch (column) {
    case TimeColumn:
      return QDateTime::fromMSecsSinceEpoch(static_cast<qint64>(row.time_s * 1000))
          .toString(QStringLiteral("HH:mm:ss"));
    case EventColumn:
      return qs(row.state);
    case StepColumn:
      return row.step >= 0 ? QVariant(qs(format_integer(row.step))) : QVariant();
    case DetailColumn:
      return qs(row.detail);
    default:
      return {};
  }
}

}  // namespace tera::gui
