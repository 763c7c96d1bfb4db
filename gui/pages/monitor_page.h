// MonitorPage: one run, live or old. State by evidence, losses, gradient norm, speed against the
// plan, load of the experts, what needs attention, events, log.
#pragma once
#include <deque>
#include <memory>

#include "gui/job.h"
#include "gui/models/attention.h"
#include "gui/models/diagnostic_model.h"
#include "gui/models/expert_load_model.h"
#include "gui/models/log_model.h"
#include "gui/models/metric_series_model.h"
#include "gui/page.h"
#include "gui/run_feed.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/chart_view.h"
#include "gui/widgets/heat_map.h"

class QComboBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QStackedLayout;
class QTabWidget;
class QTableView;

namespace tera::gui {

class Session;

// "step 12 of 200 · loss 5.2142 · 12.3 k tok/s · 1 min 5 s left · record 2 s old".
QString runFacts(const run::RunStatus& status, double now_s);

class MonitorPage : public Page {
  Q_OBJECT
 public:
  explicit MonitorPage(Session& session, QWidget* parent = nullptr);
  bool isReady() const override;
  void setInView(bool inView) override;
  void stopRun();
  MetricSeriesModel& lossModel() { return m_loss; }
  ExpertLoadModel& expertModel() { return m_experts; }
  DiagnosticModel& attentionModel() { return m_attentionModel; }
  LogModel& logModel() { return m_log; }
  QString stateText() const;

 signals:
  void factsChanged(const QString& oneLine);  // for the title of the window
  void stopAsked();                           // the run has been told to stop

 private:
  QWidget* makeEmpty();
  QWidget* makeHeader();
  QWidget* makeCharts();
  QWidget* makeExperts();
  QWidget* makeAttention();
  QWidget* makeRecords();
  void attached();
  void take(const std::shared_ptr<const RunUpdate>& update);
  void drain();  // one slice of waiting records
  void showStatus();
  void showFinding();
  void showAdvice();
  void showEnd(const run::RunStatus& status);
  void setStopping(bool on);

  Session& m_session;
  Banner* m_banner;
  QStackedLayout* m_stack = nullptr;
  QLabel* m_name = nullptr;
  ToneLabel* m_state = nullptr;
  ToneLabel* m_facts = nullptr;
  QPushButton* m_stop = nullptr;
  QComboBox* m_axis = nullptr;
  QComboBox* m_smoothing = nullptr;
  ChartView* m_lossChart = nullptr;
  ChartView* m_gradChart = nullptr;
  ChartView* m_speedChart = nullptr;
  QStackedLayout* m_expertStack = nullptr;
  QTabWidget* m_records = nullptr;
  QTableView* m_logTable = nullptr;
  QTableView* m_attentionTable = nullptr;
  ToneLabel* m_allWell = nullptr;
  ToneLabel* m_advice = nullptr;

  MetricSeriesModel m_loss, m_grad, m_speed;
  ExpertLoadModel m_experts;
  DiagnosticModel m_attentionModel;
  LogModel m_log;
  EventModel m_events;
  AttentionRules m_rules;
  std::deque<run::MetricRecord> m_waiting;
  QTimer m_drain;
  bool m_anyUpdate = false;
  bool m_endShown = false, m_wasAlive = false;
  bool m_stopping = false;
  double m_firstLoss = 0;
  LatestJob<Result<void>> m_stopJob;
};

}  // namespace tera::gui
