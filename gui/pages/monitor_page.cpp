#include "gui/pages/monitor_page.h"

#include <cmath>
#include <utility>

#include <QDateTime>
#include <QPushButton>
#include <QSplitter>
#include <QStackedLayout>

#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/launch/launcher.h"
#include "gui/icons.h"
#include "gui/models/run_facts.h"
#include "gui/pages/monitor_header.h"
#include "gui/session.h"
#include "gui/text.h"
#include "gui/widgets/attention_panel.h"
#include "gui/widgets/chart_view.h"
#include "gui/widgets/expert_panel.h"
#include "gui/widgets/records_panel.h"

namespace tera::gui {
namespace {

constexpr std::size_t kSlice = 20'000;  // records per turn of the event loop

double nowSeconds() {
  return static_cast<double>(QDateTime::currentMSecsSinceEpoch()) / 1000;
}

}  // namespace

MonitorPage::MonitorPage(Session& session, QWidget* parent)
    : Page(parent),
      m_session(session),
      m_loss({"loss", "eval_loss"}),
      m_grad({"grad_norm"}),
      m_speed({"tokens_per_s"}),
      m_stopJob([this](Result<void>& stopped) {
        if (stopped) {
          emit stopAsked();
          return;
        }
        m_header->setStopping(false);
        m_banner->show(stopped.error());
      }) {
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  outer->setSpacing(0);
  m_banner = new Banner;
  outer->addWidget(m_banner);
  m_stack = new QStackedLayout;
  outer->addLayout(m_stack, 1);
  m_stack->addWidget(makeEmpty());
  m_stack->addWidget(makeContent());
  m_drain.setSingleShot(true);
  m_drain.setInterval(0);
  connect(&m_drain, &QTimer::timeout, this, &MonitorPage::drain);
  connect(&session.feed(), &RunFeed::attached, this, &MonitorPage::attached);
  connect(&session.feed(), &RunFeed::updated, this, &MonitorPage::take);
  connect(&session.feed(), &RunFeed::planKnown, this, &MonitorPage::showPlan);
  attached();
}

QWidget* MonitorPage::makeEmpty() {
  auto* empty = new QWidget;
  auto* layout = new QVBoxLayout(empty);
  layout->setAlignment(Qt::AlignCenter);
  auto* words = new ToneLabel(tr("No run yet."));
  words->setFont(scaledFont(*this, 1.3));
  words->setAlignment(Qt::AlignCenter);
  layout->addWidget(words);
  layout->addWidget(
      new ToneLabel(
          tr("Launch the open project, or choose one of this computer's runs on the Start page.")),
      0, Qt::AlignCenter);
  auto* row = new QHBoxLayout;
  for (const auto& [icon, text, page] : {std::tuple{"launch", tr("Launch"), "launch"},
                                         std::tuple{"start", tr("Choose a run"), "start"}}) {
    auto* button = new QPushButton(themedIcon(QLatin1String(icon)), text);
    button->setAutoDefault(true);
    connect(button, &QPushButton::clicked, this,
            [this, name = QString::fromLatin1(page)] { emit pageRequested(name); });
    row->addWidget(button);
  }
  layout->addLayout(row);
  return empty;
}

QWidget* MonitorPage::makeContent() {
  auto* content = new QWidget;
  auto* layout = new QVBoxLayout(content);
  layout->setContentsMargins(12, 8, 12, 10);
  layout->setSpacing(8);
  m_header = new MonitorHeader;
  layout->addWidget(m_header);
  m_experts = new ExpertPanel(m_loads);
  m_attention = new AttentionPanel;
  m_records = new RecordsPanel;
  QSplitter* rows = makeSplitter(Qt::Vertical, "rows");
  QSplitter* middle = makeSplitter(Qt::Horizontal, "panels");
  middle->addWidget(m_experts);
  middle->addWidget(m_attention);
  middle->setSizes({640, 520});
  rows->addWidget(makeCharts());
  rows->addWidget(middle);
  rows->addWidget(m_records);
  rows->setSizes({250, 220, 150});
  layout->addWidget(rows, 1);
  connect(m_header, &MonitorHeader::stopRequested, this, &MonitorPage::stopRun);
  connect(m_header, &MonitorHeader::axisChosen, this, [this](XAxis axis) {
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->setXAxis(axis);
    for (ChartView* chart : charts())
      chart->plot().fit();
  });
  connect(m_header, &MonitorHeader::smoothingChosen, this, [this](double beta) {
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->setSmoothing(beta);
  });
  return content;
}

QWidget* MonitorPage::makeCharts() {
  QSplitter* split = makeSplitter(Qt::Horizontal, "charts");
  m_lossChart =
      new ChartView(tr("Loss"), tr("nat per token"), m_loss,
                    {{.metric = 0, .name = tr("training"), .colorIndex = 0, .smoothed = true},
                     {.metric = 1, .name = tr("held-out"), .colorIndex = 1, .smoothed = false}});
  m_gradChart = new ChartView(tr("Gradient norm"), {}, m_grad,
                              {{.metric = 0, .name = {}, .colorIndex = 0, .smoothed = true}});
  m_speedChart = new ChartView(tr("Throughput"), tr("tok/s"), m_speed,
                               {{.metric = 0, .name = {}, .colorIndex = 0, .smoothed = true}});
  for (ChartView* chart : charts()) {
    split->addWidget(chart);
    connect(&chart->plot(), &PlotView::smoothingRequested, this,
            [this] { m_header->cycleSmoothing(); });
  }
  split->setSizes({480, 360, 360});
  return split;
}

std::array<ChartView*, 3> MonitorPage::charts() const {
  return {m_lossChart, m_gradChart, m_speedChart};
}

void MonitorPage::attached() {
  for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
    model->clear();
  for (ChartView* chart : charts()) {
    chart->plot().fit();
    chart->plot().setMarkers({});
  }
  showPlan();
  m_loads.clear();
  m_records->clear();
  m_attention->clear();
  m_health = {};
  m_waiting.clear();
  m_anyUpdate = m_unreadable = false;
  m_endShown = m_wasAlive = false;
  m_banner->hide();
  m_stack->setCurrentIndex(m_session.feed().path().isEmpty() ? 0 : 1);
  m_header->showReading(m_session.feed().path().section(QLatin1Char('/'), -1));
}

void MonitorPage::showPlan() {
  const double planned = m_session.feed().planned();
  m_speedChart->plot().setReference(planned > 0 ? planned : std::nan(""),
                                    tr("plan %1").arg(qs(format_rate(planned, "tok/s"))));
}

void MonitorPage::take(const std::shared_ptr<const RunUpdate>& update) {
  m_anyUpdate = true;
  const bool wasUnreadable = std::exchange(m_unreadable, !update->error.empty());
  if (m_unreadable) {
    if (!wasUnreadable) m_banner->show(qs(update->error), true);
    m_header->showUnreadable();
    return;
  }
  if (wasUnreadable) m_banner->hide();
  if (update->replacedFromStep >= 0) {
    while (!m_waiting.empty() && m_waiting.back().step >= update->replacedFromStep)
      m_waiting.pop_back();
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->truncateFrom(update->replacedFromStep);
  }
  m_waiting.insert(m_waiting.end(), update->records.begin(), update->records.end());
  m_health.observe_problems(update->problems);
  m_records->appendLog(update->logLines, update->logRestarted);
  if (m_records->setEvents(update->events)) {
    std::vector<std::pair<std::int64_t, QString>> markers;
    for (const run::RunEvent& event : update->events) {
      if (event.state == "checkpoint" && event.step >= 0)
        markers.emplace_back(event.step, qs(event.detail));
    }
    for (ChartView* chart : charts())
      chart->plot().setMarkers(markers);
  }
  drain();
  showStatus();
}

void MonitorPage::drain() {
  std::vector<run::MetricRecord> slice;
  const std::size_t count = std::min(kSlice, m_waiting.size());
  if (count > 0) {
    const auto end = m_waiting.begin() + static_cast<std::ptrdiff_t>(count);
    slice.assign(std::make_move_iterator(m_waiting.begin()), std::make_move_iterator(end));
    m_waiting.erase(m_waiting.begin(), end);
    for (const run::MetricRecord& record : slice)
      m_health.observe(record);
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->append(slice);
    for (auto record = slice.rbegin(); record != slice.rend(); ++record) {
      if (record->expert_load.empty()) continue;
      m_loads.setLoads(record->expert_load, record->expert_layers, record->step);
      break;
    }
  }
  if (!m_waiting.empty()) m_drain.start();
}

void MonitorPage::showStatus() {
  const run::RunStatus& status = m_session.feed().status();
  const double now = nowSeconds();
  m_header->showStatus(status, now, m_health.stale_after_s());
  emit factsChanged(tr("%1 · %2").arg(qs(status.name), runFacts(status, now)));
  const bool any = m_loss.rowCount() > 0;
  std::vector<Diagnostic> found;
  for (run::Finding& finding : m_health.findings(status, now, m_session.feed().planned()))
    found.push_back(std::move(finding.what));
  m_attention->setFindings(
      std::move(found),
      any ? tr("✓ Nothing. Watched: loss spikes and NaN, silence, speed against the plan, hot and "
               "dead experts.")
          : tr("Waiting for the first record. %1").arg(qs(status.detail)),
      any ? ToneLabel::Ok : ToneLabel::Muted);
  showEnd(status);
}

// Once, when a run that was alive here has ended.
void MonitorPage::showEnd(const run::RunStatus& status) {
  if (status.alive) m_wasAlive = true;
  if (!m_wasAlive || status.alive || m_endShown || !m_waiting.empty()) return;
  m_endShown = true;
  if (status.state == run::RunState::completed) {
    const run::MetricPyramid& losses = m_loss.raw(0);
    m_banner->show(
        tr("Done: loss %1 → %2 in %3 steps. Next: plan a model for a cluster from a template.")
            .arg(losses.size() > 0 ? losses.y(0) : std::nan(""), 0, 'f', 2)
            .arg(status.last_loss, 0, 'f', 2)
            .arg(status.step),
        false, tr("Templates"), [this] { emit pageRequested(QStringLiteral("start")); });
  } else if (status.state == run::RunState::stopped) {
    m_banner->show(
        tr("Stopped after a checkpoint at step %1. Go on with: teragpt launch --run %2 --resume")
            .arg(status.step)
            .arg(qs(status.id)),
        false);
  } else {
    m_records->showLog();
    m_banner->show(tr("The run ended: %1").arg(qs(status.detail)), true);
  }
}

void MonitorPage::stopRun() {
  if (!m_session.runIsAlive() || m_header->isStopping()) return;
  m_header->setStopping(true);
  m_stopJob.start([path = ss(m_session.feed().path())]() -> Result<void> {
    TERA_TRY(const run::RunDirectory dir, run::RunDirectory::open(posix_vfs(), path));
    return launch::make_local_launcher()->stop(dir, false);
  });
}

const LogModel& MonitorPage::logModel() const {
  return m_records->log();
}

const DiagnosticModel& MonitorPage::attentionModel() const {
  return m_attention->model();
}

QString MonitorPage::stateText() const {
  return m_header->stateText();
}

bool MonitorPage::isReady() const {
  if (m_session.feed().path().isEmpty()) return true;
  return m_anyUpdate && m_waiting.empty() && m_session.feed().planIsKnown() &&
         m_lossChart->plot().isFresh();
}

void MonitorPage::setInView(bool inView) {
  m_session.feed().setFast(inView);
  if (inView && m_stack->currentIndex() == 1) m_lossChart->plot().setFocus();
}

}  // namespace tera::gui
