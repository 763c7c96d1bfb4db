#include "gui/models/run_list_model.h"

#include <cmath>

#include <QDateTime>
#include <QLocale>

#include "core/base/units.h"
#include "gui/models/run_facts.h"
#include "gui/text.h"

namespace tera::gui {

RunListModel::RunListModel(QObject* parent)
    : TableModel({tr("State"), tr("Run"), tr("Step"), tr("Loss"), tr("Started"), tr("Evidence")},
                 parent) {}

QVariant RunListModel::cell(const run::RunStatus& row, int column, int role) const {
  if (role == PathRole) return qs(row.path.string());
  if (role == AliveRole) return row.alive;
  if (role == Qt::ToolTipRole) return qs(row.path.string() + "\n" + row.detail);
  if (role == Qt::TextAlignmentRole && (column == StepColumn || column == LossColumn))
    return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
  if (role != Qt::DisplayRole) return {};
  switch (column) {
    case StateColumn:
      return runStateText(row.state);
    case NameColumn:
      return qs(row.name);
    case StepColumn:
      return row.num_steps > 0
                 ? qs(format_integer(row.step) + " / " + format_integer(row.num_steps))
                 : qs(format_integer(row.step));
    case LossColumn:
      return std::isnan(row.last_loss) || row.step == 0 ? tr("n/a")
                                                        : QString::number(row.last_loss, 'f', 4);
    case StartedColumn:
      return QLocale().toString(
          QDateTime::fromMSecsSinceEpoch(static_cast<qint64>(row.created_s * 1000)),
          QStringLiteral("d MMM HH:mm"));
    case DetailColumn:
      return qs(row.detail);
    default:
      return {};
  }
}

}  // namespace tera::gui
