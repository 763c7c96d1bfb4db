// RunListModel: the runs this machine knows, newest first, each with its state by evidence.
#pragma once
#include "core/run/run_state.h"
#include "gui/models/table_model.h"

namespace tera::gui {

class RunListModel : public TableModel<run::RunStatus> {
  Q_OBJECT
 public:
  enum Column { StateColumn, NameColumn, StepColumn, LossColumn, StartedColumn, DetailColumn };
  enum Role { PathRole = Qt::UserRole, AliveRole };
  explicit RunListModel(QObject* parent = nullptr);

 protected:
  QVariant cell(const run::RunStatus& row, int column, int role) const override;
};

}  // namespace tera::gui
