#include "gui/run_feed.h"

#include <QFile>

#include "core/base/clock.h"
#include "core/plan/estimate.h"
#include "gui/text.h"

namespace tera::gui {
namespace {

constexpr qint64 kFirstLogBytes = 256 << 10;  // of an old log only the end is read
constexpr qint64 kMaxLogBytes = 4 << 20;      // per look

}  // namespace

struct RunFeed::Tail {
  explicit Tail(std::string run_path) : path(std::move(run_path)) {}
  std::string path;
  std::optional<run::RunDirectory> dir;
  std::optional<run::MetricReader> reader;
  int attempt = 0;
  qint64 logOffset = 0;
  QByteArray tornLine;  // the end of the log without its newline yet

  std::shared_ptr<RunUpdate> look();
  void readLog(RunUpdate& update);
};

std::shared_ptr<RunUpdate> RunFeed::Tail::look() {
  auto update = std::make_shared<RunUpdate>();
  update->polled_s = wall_s();
  if (!dir) {
    Result<run::RunDirectory> opened = run::RunDirectory::open(posix_vfs(), path);
    if (!opened) {
      update->error = opened.error().message;
      return update;
    }
    dir = std::move(opened).value();
    reader.emplace(dir->path() / "metrics");
  }
  Result<run::RunStatus> status = run::run_status(*dir);
  if (!status) {
    update->error = status.error().message;
    return update;
  }
  update->status = std::move(status).value();
  Result<run::MetricReader::Update> metrics = reader->poll();
  if (metrics) {
    update->records = std::move(metrics->records);
    update->replacedFromStep = metrics->replaced_from_step;
    update->problems = std::move(metrics->problems);
  } else {
    update->problems.push_back(metrics.error().message);
  }
  if (Result<std::vector<run::RunEvent>> events = run::read_events(*dir)) {
    update->events = std::move(events).value();
  } else {
    update->problems.push_back(events.error().message);
  }
  readLog(*update);
  return update;
}

void RunFeed::Tail::readLog(RunUpdate& update) {
  const int newest = std::max(1, update.status.attempt);
  QFile file(qs(dir->log_file(newest, 0).string()));
  if (newest != attempt) {
    attempt = newest;
    update.logRestarted = true;
    tornLine.clear();
    logOffset = std::max<qint64>(0, file.size() - kFirstLogBytes);
  }
  if (file.size() <= logOffset || !file.open(QIODevice::ReadOnly)) return;
  const bool inTheMiddle = update.logRestarted && logOffset > 0;
  file.seek(logOffset);
  const QByteArray fresh = file.read(kMaxLogBytes);
  logOffset += fresh.size();
  QList<QByteArray> lines = (tornLine + fresh).split('\n');
  tornLine = lines.takeLast();
  if (inTheMiddle && !lines.isEmpty()) lines.removeFirst();
  for (const QByteArray& line : lines)
    update.logLines.append(QString::fromUtf8(line));
}

RunFeed::RunFeed(QObject* parent)
    : QObject(parent),
      m_poll([this](std::shared_ptr<RunUpdate>& update) { deliver(update); }),
      m_plan([this](Plan& plan) { takePlan(plan); }, [this](const QString&) { takePlan({}); }) {
  m_timer.setInterval(kSlowMs);
  connect(&m_timer, &QTimer::timeout, this, &RunFeed::pollNow);
}

void RunFeed::attach(const QString& runPath) {
  m_path = runPath;
  m_status = {};
  m_spec.reset();
  m_planned = 0;
  m_planIsKnown = false;
  m_tail = runPath.isEmpty() ? nullptr : std::make_shared<Tail>(ss(runPath));
  emit attached();
  if (!m_tail) {
    m_timer.stop();
    return;
  }
  m_timer.start();
  m_plan.start([path = ss(runPath)]() -> Plan {
    Plan plan;
    const Result<run::RunDirectory> dir = run::RunDirectory::open(posix_vfs(), path);
    if (!dir) return plan;
    Result<spec::RunSpec> spec = dir->spec();
    if (!spec) return plan;
    plan.spec = std::make_shared<const spec::RunSpec>(std::move(spec).value());
    if (const Result<plan::Estimate> estimate = plan::estimate(*plan.spec))
      plan.tokens_per_s = estimate->tokens_per_s;
    return plan;
  });
  m_poll.start([tail = m_tail] { return tail->look(); });
}

void RunFeed::takePlan(const Plan& plan) {
  m_spec = plan.spec;
  m_planned = plan.tokens_per_s;
  m_planIsKnown = true;
  emit planKnown();
}

void RunFeed::setFast(bool fast) {
  m_timer.setInterval(fast ? kFastMs : kSlowMs);
  if (fast) pollNow();
}

void RunFeed::pollNow() {
  if (m_tail && !m_poll.busy()) m_poll.start([tail = m_tail] { return tail->look(); });
}

void RunFeed::deliver(std::shared_ptr<RunUpdate>& update) {
  if (update->error.empty()) m_status = update->status;
  emit updated(std::shared_ptr<const RunUpdate>(update));
}

}  // namespace tera::gui
