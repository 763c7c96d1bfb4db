// PreflightModel: what was looked at before a launch, and what was found.
#pragma once
#include "gui/models/table_model.h"

namespace tera::gui {

enum class CheckState { Ok, Warning, Failed };

struct Check {
  CheckState state = CheckState::Ok;
  QString title;   // "Memory"
  QString detail;  // "0.2 GiB of 7.1 GiB"
  QString hint;    // what to do; empty when ok
};

class PreflightModel : public TableModel<Check> {
  Q_OBJECT
 public:
  enum Column { StateColumn, TitleColumn, DetailColumn };
  explicit PreflightModel(QObject* parent = nullptr);
  int count(CheckState state) const;
  static QString stateText(CheckState state);  // "✓ ok", "▲ look", "■ stop"

 protected:
  QVariant cell(const Check& row, int column, int role) const override;
};

}  // namespace tera::gui
