#include "gui/widgets/records_panel.h"

#include <QFontDatabase>
#include <QHeaderView>
#include <QTabBar>

#include "gui/widgets/read_table.h"

namespace tera::gui {

RecordsPanel::RecordsPanel(QWidget* parent) : QTabWidget(parent) {
  setDocumentMode(true);
  setAccessibleName(tr("Events and log"));
  tabBar()->setAccessibleName(tr("Events and log"));
  auto* events = new ReadTable(&m_events, tr("Events"));
  events->setColumnWidth(EventModel::TimeColumn, 84);
  events->setColumnWidth(EventModel::EventColumn, 110);
  events->setColumnWidth(EventModel::StepColumn, 80);
  events->followTail();
  auto* log = new ReadTable(&m_log, tr("Log"));
  log->horizontalHeader()->hide();
  log->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
  log->followTail();
  m_logTable = log;
  addTab(events, tr("Events"));
  addTab(log, tr("Log"));
}

void RecordsPanel::clear() {
  m_events.setRows({});
  m_log.clear();
}

bool RecordsPanel::setEvents(const std::vector<run::RunEvent>& events) {
  if (std::ssize(events) == m_events.rowCount()) return false;  // the list only grows
  m_events.setRows(events);
  return true;
}

void RecordsPanel::appendLog(const QStringList& lines, bool restarted) {
  if (restarted) m_log.clear();
  if (!lines.isEmpty()) m_log.append(lines);
}

void RecordsPanel::showLog() {
  setCurrentWidget(m_logTable);
}

}  // namespace tera::gui
