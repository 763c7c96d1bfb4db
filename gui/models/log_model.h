// LogModel: the tail of a log, one row per line, at most kMaxLines: the oldest leave.
// EventModel: what happened to a run, newest last.
#pragma once
#include "core/run/run_state.h"
#include "gui/models/table_model.h"

namespace tera::gui {

class LogModel : public TableModel<QString> {
  Q_OBJECT
 public:
  static constexpr int kMaxLines = 200'000;
  explicit LogModel(QObject* parent = nullptr);
  void append(const QStringList& lines);
  void clear();

 protected:
  QVariant cell(const QString& row, int column, int role) const override;
};

class EventModel : public TableModel<run::RunEvent> {
  Q_OBJECT
 public:
  enum Column { TimeColumn, EventColumn, StepColumn, DetailColumn };
  explicit EventModel(QObject* parent = nullptr);

 protected:
  QVariant cell(const run::RunEvent& row, int column, int role) const override;
};

}  // namespace tera::gui
