#include "gui/pages/monitor_page.h"

#include <cmath>

#include <QComboBox>
#include <QDateTime>
#include <QFontDatabase>
#include <QHeaderView>
#include <QLabel>
#include <QPushButton>
#include <QScrollBar>
#include <QSplitter>
#include <QStackedLayout>
#include <QTabWidget>
#include <QTableView>

#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/launch/launcher.h"
#include "gui/icons.h"
#include "gui/models/run_list_model.h"
#include "gui/session.h"
#include "gui/text.h"

namespace tera::gui {
namespace {

constexpr std::size_t kSlice = 20'000;  // records per turn of the event loop
constexpr double kSmoothings[] = {0.95, 0.99, 0.9, 0};

double nowSeconds() {
  return static_cast<double>(QDateTime::currentMSecsSinceEpoch()) / 1000;
}

ToneLabel::Tone toneOf(run::RunState state) {
  using enum run::RunState;
  switch (state) {
    case running:
    case completed:
      return ToneLabel::Ok;
    case failed:
    case died:
      return ToneLabel::Critical;
    case stopped:
      return ToneLabel::Warning;
    case created:
    case starting:
      break;
  }
  return ToneLabel::Muted;
}

}  // namespace

QString runFacts(const run::RunStatus& status, double now_s) {
  QStringList facts;
  if (status.num_steps > 0) {
    facts << MonitorPage::tr("step %1 of %2")
                 .arg(qs(format_integer(status.step)), qs(format_integer(status.num_steps)));
  }
  if (status.step > 0 && !std::isnan(status.last_loss))
    facts << MonitorPage::tr("loss %1").arg(status.last_loss, 0, 'f', 4);
  if (status.tokens_per_s > 0) facts << qs(format_rate(status.tokens_per_s, "tok/s"));
  if (status.alive && status.step > 0 && status.last_record_s > status.created_s) {
    // Of this run's own pace, start and pauses included: simple, and errs on the long side.
    const double perStep =
        (status.last_record_s - status.created_s) / static_cast<double>(status.step);
    facts << MonitorPage::tr("about %1 left")
                 .arg(qs(format_seconds(perStep *
                                        static_cast<double>(status.num_steps - status.step))));
  }
  if (status.last_record_s > 0 && status.alive)
    facts << MonitorPage::tr("record %1 s old")
                 .arg(std::max(0.0, now_s - status.last_record_s), 0, 'f', 0);
  return facts.join(QStringLiteral("  ·  "));
}

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
        setStopping(false);
        m_banner->show(qs(stopped.error().message), true);
      }) {
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  outer->setSpacing(0);
  m_banner = new Banner;
  outer->addWidget(m_banner);
  m_stack = new QStackedLayout;
  outer->addLayout(m_stack, 1);
  m_stack->addWidget(makeEmpty());
  auto* content = new QWidget;
  auto* layout = new QVBoxLayout(content);
  layout->setContentsMargins(12, 8, 12, 10);
  layout->setSpacing(8);
  layout->addWidget(makeHeader());
  auto* rows = new QSplitter(Qt::Vertical);
  rows->setChildrenCollapsible(false);
  rows->setHandleWidth(8);
  auto* middle = new QSplitter(Qt::Horizontal);
  middle->setChildrenCollapsible(false);
  middle->setHandleWidth(8);
  middle->addWidget(makeExperts());
  middle->addWidget(makeAttention());
  middle->setSizes({640, 520});
  rows->addWidget(makeCharts());
  rows->addWidget(middle);
  rows->addWidget(makeRecords());
  rows->setSizes({250, 220, 150});
  layout->addWidget(rows, 1);
  m_stack->addWidget(content);
  m_drain.setSingleShot(true);
  m_drain.setInterval(0);
  connect(&m_drain, &QTimer::timeout, this, &MonitorPage::drain);
  connect(&session.feed(), &RunFeed::attached, this, &MonitorPage::attached);
  connect(&session.feed(), &RunFeed::updated, this, &MonitorPage::take);
  connect(&session.feed(), &RunFeed::planKnown, this, [this] {
    const double planned = m_session.feed().planned();
    m_speedChart->plot().setReference(planned > 0 ? planned : std::nan(""),
                                      tr("plan %1").arg(qs(format_rate(planned, "tok/s"))));
  });
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

QWidget* MonitorPage::makeHeader() {
  auto* header = new QWidget;
  auto* row = new QHBoxLayout(header);
  row->setContentsMargins(2, 0, 0, 0);
  row->setSpacing(12);
  m_name = new QLabel;
  m_name->setFont(scaledFont(*this, 1.15, QFont::DemiBold));
  m_state = new ToneLabel({}, ToneLabel::Muted);
  m_state->setFont(scaledFont(*this, 1.05, QFont::DemiBold));
  m_facts = new ToneLabel({}, ToneLabel::Normal);
  m_facts->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  m_axis = new QComboBox;
  m_axis->addItems({tr("x: steps"), tr("x: tokens"), tr("x: hours")});
  m_axis->setAccessibleName(tr("Horizontal axis"));
  m_smoothing = new QComboBox;
  m_smoothing->addItems(
      {tr("average 0.95"), tr("average 0.99"), tr("average 0.9"), tr("no average")});
  m_smoothing->setAccessibleName(tr("Smoothing"));
  m_stop = new QPushButton(themedIcon("stop"), tr("Stop"));
  m_stop->setAutoDefault(true);
  m_stop->setToolTip(tr("Writes a checkpoint, then ends; Launch resumes from it"));
  row->addWidget(m_name);
  row->addWidget(m_state);
  row->addWidget(m_facts, 1);
  row->addWidget(m_axis);
  row->addWidget(m_smoothing);
  row->addWidget(m_stop);
  connect(m_stop, &QPushButton::clicked, this, &MonitorPage::stopRun);
  connect(m_axis, &QComboBox::currentIndexChanged, this, [this](int index) {
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->setXAxis(static_cast<XAxis>(index));
    for (ChartView* chart : {m_lossChart, m_gradChart, m_speedChart})
      chart->plot().fit();
  });
  connect(m_smoothing, &QComboBox::currentIndexChanged, this, [this](int index) {
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->setSmoothing(kSmoothings[index]);
  });
  return header;
}

QWidget* MonitorPage::makeCharts() {
  auto* split = new QSplitter(Qt::Horizontal);
  split->setChildrenCollapsible(false);
  split->setHandleWidth(8);
  m_lossChart =
      new ChartView(tr("Loss"), tr("nat per token"), m_loss,
                    {{.metric = 0, .name = tr("training"), .colorIndex = 0, .smoothed = true},
                     {.metric = 1, .name = tr("held-out"), .colorIndex = 1, .smoothed = false}});
  m_gradChart = new ChartView(tr("Gradient norm"), {}, m_grad,
                              {{.metric = 0, .name = {}, .colorIndex = 0, .smoothed = true}});
  m_speedChart = new ChartView(tr("Throughput"), tr("tok/s"), m_speed,
                               {{.metric = 0, .name = {}, .colorIndex = 0, .smoothed = true}});
  for (ChartView* chart : {m_lossChart, m_gradChart, m_speedChart}) {
    split->addWidget(chart);
    connect(&chart->plot(), &PlotView::smoothingRequested, this, [this] {
      m_smoothing->setCurrentIndex((m_smoothing->currentIndex() + 1) % m_smoothing->count());
    });
  }
  split->setSizes({480, 360, 360});
  return split;
}

QWidget* MonitorPage::makeExperts() {
  auto* card = new Card(tr("Expert load, MoE layers × experts"));
  auto* host = new QWidget;
  m_expertStack = new QStackedLayout(host);
  m_expertStack->addWidget(new HeatMap(m_experts));
  QTableView* table = makeTable(&m_experts, tr("Expert load table"));
  table->verticalHeader()->show();
  m_expertStack->addWidget(table);
  auto* asTable = new QToolButton;
  asTable->setIcon(themedIcon("table"));
  asTable->setCheckable(true);
  asTable->setAutoRaise(true);
  asTable->setFocusPolicy(Qt::StrongFocus);
  asTable->setAccessibleName(tr("Expert load as a table"));
  asTable->setToolTip(tr("Show as a table"));
  connect(asTable, &QToolButton::toggled, this,
          [this](bool on) { m_expertStack->setCurrentIndex(on ? 1 : 0); });
  card->header()->addWidget(asTable);
  card->body()->addWidget(host, 1);
  return card;
}

QWidget* MonitorPage::makeAttention() {
  auto* card = new Card(tr("Needs attention"));
  m_allWell = new ToneLabel;
  m_allWell->setWordWrap(true);
  card->body()->addWidget(m_allWell);
  m_attentionTable = makeTable(&m_attentionModel, tr("Needs attention"));
  m_attentionTable->hideColumn(DiagnosticModel::LineColumn);
  m_attentionTable->hideColumn(DiagnosticModel::HintColumn);
  m_attentionTable->horizontalHeader()->hide();
  m_attentionTable->horizontalHeader()->setStretchLastSection(false);
  m_attentionTable->horizontalHeader()->setSectionResizeMode(DiagnosticModel::MessageColumn,
                                                             QHeaderView::Stretch);
  for (const int column : {DiagnosticModel::SeverityColumn, DiagnosticModel::FieldColumn})
    m_attentionTable->horizontalHeader()->setSectionResizeMode(column,
                                                               QHeaderView::ResizeToContents);
  card->body()->addWidget(m_attentionTable, 1);
  m_advice = new ToneLabel;
  m_advice->setWordWrap(true);
  card->body()->addWidget(m_advice);
  connect(m_attentionTable->selectionModel(), &QItemSelectionModel::currentChanged, this,
          &MonitorPage::showAdvice);
  card->body()->addStretch(0);
  return card;
}

QWidget* MonitorPage::makeRecords() {
  m_records = new QTabWidget;
  m_records->setDocumentMode(true);
  m_records->setAccessibleName(tr("Events and log"));
  m_records->tabBar()->setAccessibleName(tr("Events and log"));
  QTableView* events = makeTable(&m_events, tr("Events"));
  events->setColumnWidth(EventModel::TimeColumn, 84);
  events->setColumnWidth(EventModel::EventColumn, 110);
  events->setColumnWidth(EventModel::StepColumn, 80);
  m_logTable = makeTable(&m_log, tr("Log"));
  m_logTable->horizontalHeader()->hide();
  m_logTable->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
  m_records->addTab(events, tr("Events"));
  m_records->addTab(m_logTable, tr("Log"));
  // Follows the tail until a person scrolls away from it.
  const auto follow = [](QTableView* table, QAbstractItemModel& model) {
    auto atEnd = std::make_shared<bool>(true);
    connect(&model, &QAbstractItemModel::rowsAboutToBeInserted, table, [table, atEnd] {
      const QScrollBar* bar = table->verticalScrollBar();
      *atEnd = bar->value() >= bar->maximum();
    });
    connect(&model, &QAbstractItemModel::rowsInserted, table, [table, atEnd] {
      if (*atEnd) table->scrollToBottom();
    });
  };
  follow(events, m_events);
  follow(m_logTable, m_log);
  return m_records;
}

void MonitorPage::attached() {
  for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
    model->clear();
  for (ChartView* chart : {m_lossChart, m_gradChart, m_speedChart}) {
    chart->plot().fit();
    chart->plot().setMarkers({});
    chart->plot().setReference(std::nan(""), {});
  }
  m_experts.clear();
  m_log.clear();
  m_events.setRows({});
  m_attentionModel.setDiagnostics({});
  m_rules.clear();
  m_waiting.clear();
  m_anyUpdate = false;
  m_endShown = m_wasAlive = false;
  setStopping(false);
  m_banner->hide();
  m_stack->setCurrentIndex(m_session.feed().path().isEmpty() ? 0 : 1);
  m_name->setText(m_session.feed().path().section(QLatin1Char('/'), -1));
  m_state->setText(tr("reading…"));
  m_state->setTone(ToneLabel::Muted);
  m_facts->clear();
  m_allWell->setText({});
}

void MonitorPage::take(const std::shared_ptr<const RunUpdate>& update) {
  m_anyUpdate = true;
  if (!update->error.empty()) {
    m_banner->show(qs(update->error), true);
    m_state->setText(tr("cannot be read"));
    m_state->setTone(ToneLabel::Critical);
    return;
  }
  if (update->replacedFromStep >= 0) {
    while (!m_waiting.empty() && m_waiting.back().step >= update->replacedFromStep)
      m_waiting.pop_back();
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->truncateFrom(update->replacedFromStep);
  }
  m_waiting.insert(m_waiting.end(), update->records.begin(), update->records.end());
  m_rules.observeProblems(update->problems);
  if (update->logRestarted) m_log.clear();
  if (!update->logLines.isEmpty()) m_log.append(update->logLines);
  if (std::ssize(update->events) != m_events.rowCount()) {
    m_events.setRows(update->events);
    std::vector<std::pair<std::int64_t, QString>> markers;
    for (const run::RunEvent& event : update->events) {
      if (event.state == "checkpoint" && event.step >= 0)
        markers.emplace_back(event.step, qs(event.detail));
    }
    for (ChartView* chart : {m_lossChart, m_gradChart, m_speedChart})
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
    if (m_loss.rowCount() == 0) m_firstLoss = slice.front().value("loss", 0);
    for (const run::MetricRecord& record : slice)
      m_rules.observe(record);
    for (MetricSeriesModel* model : {&m_loss, &m_grad, &m_speed})
      model->append(slice);
    for (auto record = slice.rbegin(); record != slice.rend(); ++record) {
      if (record->expert_load.empty()) continue;
      m_experts.setLoads(record->expert_load, record->expert_layers, record->step);
      break;
    }
  }
  if (!m_waiting.empty()) m_drain.start();
}

void MonitorPage::showStatus() {
  const run::RunStatus& status = m_session.feed().status();
  const double now = nowSeconds();
  m_name->setText(qs(status.name));
  m_name->setToolTip(qs(status.path.string()));
  const bool stale =
      status.alive && status.last_record_s > 0 && now - status.last_record_s > m_rules.staleAfter();
  m_state->setText(m_stopping && status.alive ? tr("▲ stopping")
                                              : RunListModel::stateText(status.state));
  m_state->setTone(stale ? ToneLabel::Warning : toneOf(status.state));
  m_state->setToolTip(qs(status.detail));
  m_facts->setText(runFacts(status, now));
  m_facts->setToolTip(qs(status.detail));
  m_facts->setTone(stale ? ToneLabel::Muted : ToneLabel::Normal);
  m_stop->setEnabled(status.alive && !m_stopping);
  if (!status.alive) setStopping(false);
  emit factsChanged(tr("%1 · %2").arg(qs(status.name), runFacts(status, now)));
  showFinding();
  showEnd(status);
}

void MonitorPage::showFinding() {
  const run::RunStatus& status = m_session.feed().status();
  const std::vector<Diagnostic> found =
      m_rules.findings(status, nowSeconds(), m_session.feed().planned());
  m_attentionModel.setDiagnostics(found);
  m_attentionTable->setVisible(!found.empty());
  m_allWell->setVisible(found.empty());
  showAdvice();
  if (!found.empty()) return;
  m_allWell->setTone(m_loss.rowCount() > 0 ? ToneLabel::Ok : ToneLabel::Muted);
  m_allWell->setText(m_loss.rowCount() > 0
                         ? tr("✓ Nothing. Watched: loss spikes and NaN, silence, speed against the "
                              "plan, hot and dead experts.")
                         : tr("Waiting for the first record. %1").arg(qs(status.detail)));
}

// What to do about the selected finding, or about the first.
void MonitorPage::showAdvice() {
  const int row = std::max(0, m_attentionTable->currentIndex().row());
  const bool any = row < m_attentionModel.rowCount() && !m_attentionModel.row(row).hint.empty();
  m_advice->setVisible(any);
  if (any) m_advice->setText(tr("→ %1").arg(qs(m_attentionModel.row(row).hint)));
}

// Once, when a run that was alive here has ended.
void MonitorPage::showEnd(const run::RunStatus& status) {
  if (status.alive) m_wasAlive = true;
  if (!m_wasAlive || status.alive || m_endShown || !m_waiting.empty()) return;
  m_endShown = true;
  if (status.state == run::RunState::completed) {
    m_banner->show(
        tr("Done: loss %1 → %2 in %3 steps. Next: plan a model for a cluster from a template.")
            .arg(m_firstLoss, 0, 'f', 2)
            .arg(status.last_loss, 0, 'f', 2)
            .arg(status.step),
        false, tr("Templates"), [this] { emit pageRequested(QStringLiteral("start")); });
  } else if (status.state == run::RunState::stopped) {
    m_banner->show(
        tr("Stopped after a checkpoint at step %1: %2").arg(status.step).arg(qs(status.detail)),
        false);
  } else {
    m_records->setCurrentWidget(m_logTable);
    m_banner->show(tr("The run ended: %1").arg(qs(status.detail)), true);
  }
}

void MonitorPage::setStopping(bool on) {
  m_stopping = on;
  if (on) {
    m_stop->setEnabled(false);
    m_state->setText(tr("▲ stopping"));
  }
}

void MonitorPage::stopRun() {
  if (!m_session.runIsAlive() || m_stopping) return;
  setStopping(true);
  m_stopJob.start([path = ss(m_session.feed().path())]() -> Result<void> {
    TERA_TRY(const run::RunDirectory dir, run::RunDirectory::open(posix_vfs(), path));
    return launch::make_local_launcher()->stop(dir, false);
  });
}

QString MonitorPage::stateText() const {
  return m_state->text();
}

bool MonitorPage::isReady() const {
  if (m_session.feed().path().isEmpty()) return true;
  return m_anyUpdate && m_waiting.empty() && m_session.feed().spec() != nullptr &&
         m_lossChart->plot().isFresh();
}

void MonitorPage::setInView(bool inView) {
  m_session.feed().setFast(inView);
  if (inView && m_stack->currentIndex() == 1) m_lossChart->plot().setFocus();
}

}  // namespace tera::gui
