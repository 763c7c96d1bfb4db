// StartPage: try it on this computer, start from a template, go on with a project or a run.
#pragma once
#include <QListWidget>
#include <QTableView>
#include <QTimer>

#include "gui/demo_project.h"
#include "gui/job.h"
#include "gui/models/run_list_model.h"
#include "gui/page.h"
#include "gui/widgets/banner.h"

class QProgressBar;
class QPushButton;

namespace tera::gui {

class Session;
class TemplateList;
class ToneLabel;

class StartPage : public Page {
  Q_OBJECT
 public:
  explicit StartPage(Session& session, QWidget* parent = nullptr);
  bool isReady() const override;
  void setInView(bool inView) override;
  RunListModel& runs() { return m_runs; }
  DemoProject& demo() { return m_demo; }
  QPushButton* tryButton() { return m_try; }

 signals:
  // Opening belongs to the window: the project that is open may have edits to ask about.
  void openRequested();  // with a file dialog
  void fileRequested(const QString& path);
  void templateRequested(const QString& preset);

 private:
  QWidget* makeHeader();
  QWidget* makeTryCard();
  QWidget* makeTemplates();
  QWidget* makeRecent();
  QWidget* makeRuns();
  void tryIt();
  void setTrying(bool on);
  void showRecent();
  void openRun(const QModelIndex& index);

  Session& m_session;
  DemoProject m_demo;
  RunListModel m_runs;
  QTableView* m_runTable = nullptr;
  ToneLabel* m_noRuns = nullptr;
  QListWidget* m_recent = nullptr;
  QPushButton* m_try = nullptr;
  QPushButton* m_cancel = nullptr;
  QProgressBar* m_busy = nullptr;
  ToneLabel* m_progress = nullptr;
  TemplateList* m_templates = nullptr;
  Banner* m_banner = nullptr;
  QTimer m_poll;
  bool m_runsKnown = false;
  LatestJob<run::RunList> m_runsJob;
};

}  // namespace tera::gui
