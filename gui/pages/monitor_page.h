// MonitorPage: one run, live or old. State by evidence, losses, gradient norm, speed against the
// plan, load of the experts, what needs attention, events, log.
#pragma once
#include <array>
#include <deque>
#include <memory>

#include "core/run/health.h"
#include "gui/job.h"
#include "gui/models/expert_load_model.h"
#include "gui/models/metric_series_model.h"
#include "gui/page.h"
#include "gui/run_feed.h"
#include "gui/widgets/banner.h"

class QStackedLayout;

namespace tera::gui {

class AttentionPanel;
class ChartView;
class DiagnosticModel;
class ExpertPanel;
class LogModel;
class MonitorHeader;
class RecordsPanel;
class Session;

class MonitorPage : public Page {
  Q_OBJECT
 public:
  explicit MonitorPage(Session& session, QWidget* parent = nullptr);
  bool isReady() const override;
  void setInView(bool inView) override;
  void stopRun();
  MetricSeriesModel& lossModel() { return m_loss; }
  ExpertLoadModel& expertModel() { return m_loads; }
  const DiagnosticModel& attentionModel() const;
  const LogModel& logModel() const;
  QString stateText() const;
  std::array<ChartView*, 3> charts() const;  // loss, gradient norm, throughput
  Banner* banner() { return m_banner; }

 signals:
  void factsChanged(const QString& oneLine);  // for the title of the window
  void stopAsked();                           // the run has been told to stop

 private:
  QWidget* makeEmpty();
  QWidget* makeContent();
  QWidget* makeCharts();
  void attached();
  void take(const std::shared_ptr<const RunUpdate>& update);
  void drain();  // one slice of waiting records
  void showPlan();
  void showStatus();
  void showEnd(const run::RunStatus& status);

  Session& m_session;
  Banner* m_banner;
  QStackedLayout* m_stack = nullptr;
  MonitorHeader* m_header = nullptr;
  ChartView* m_lossChart = nullptr;
  ChartView* m_gradChart = nullptr;
  ChartView* m_speedChart = nullptr;
  ExpertPanel* m_experts = nullptr;
  AttentionPanel* m_attention = nullptr;
  RecordsPanel* m_records = nullptr;

  MetricSeriesModel m_loss, m_grad, m_speed;
  ExpertLoadModel m_loads;
  run::Health m_health;
  std::deque<run::MetricRecord> m_waiting;
  QTimer m_drain;
  bool m_anyUpdate = false, m_unreadable = false;
  bool m_endShown = false, m_wasAlive = false;
  LatestJob<Result<void>> m_stopJob;
};

}  // namespace tera::gui
