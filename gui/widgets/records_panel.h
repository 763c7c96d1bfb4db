// RecordsPanel: what happened to a run, and its log. Both follow their end until a person scrolls
// away from it.
#pragma once
#include <QTabWidget>

#include "gui/models/log_model.h"

class QTableView;

namespace tera::gui {

class RecordsPanel : public QTabWidget {
  Q_OBJECT
 public:
  explicit RecordsPanel(QWidget* parent = nullptr);
  void clear();
  // All events of the run; true when there are others than before.
  bool setEvents(const std::vector<run::RunEvent>& events);
  void appendLog(const QStringList& lines, bool restarted);  // restarted: another attempt's log
  void showLog();
  const LogModel& log() const { return m_log; }
  const EventModel& events() const { return m_events; }

 private:
  EventModel m_events;
  LogModel m_log;
  QTableView* m_logTable;
};

}  // namespace tera::gui
