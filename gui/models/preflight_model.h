// PreflightModel: what was looked at before a launch, and what was found.
#pragma once
#include "core/launch/preflight.h"
#include "gui/models/table_model.h"

namespace tera::gui {

class PreflightModel : public TableModel<launch::Check> {
  Q_OBJECT
 public:
  enum Column { StateColumn, NameColumn, DetailColumn };
  explicit PreflightModel(QObject* parent = nullptr);
  int count(launch::CheckState state) const;
  static QString stateText(launch::CheckState state);  // "✓ ok", "▲ look", "■ stop"

 protected:
  QVariant cell(const launch::Check& row, int column, int role) const override;
};

}  // namespace tera::gui
