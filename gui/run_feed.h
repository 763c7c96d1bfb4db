// RunFeed: follows one run directory from a worker thread: state, records, events, log. The files
// of the run are all it looks at, so it works the same for a child, an old run and a run of another
// day.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include <QObject>
#include <QStringList>
#include <QTimer>

#include "core/run/metric_stream.h"
#include "core/run/run_state.h"
#include "core/spec/run_spec.h"
#include "gui/job.h"

namespace tera::gui {

// What one look at the run found; immutable once delivered.
struct RunUpdate {
  run::RunStatus status;
  std::vector<run::MetricRecord> records;  // new ones
  std::int64_t replacedFromStep = -1;      // drop what is held from this step on first
  std::vector<std::string> problems;       // unreadable lines, each with file and line
  std::vector<run::RunEvent> events;       // all of them
  QStringList logLines;                    // new ones
  bool logRestarted = false;               // another attempt: a new log
  double polled_s = 0;                     // seconds since the epoch
  std::string error;                       // why nothing could be read
};

class RunFeed : public QObject {
  Q_OBJECT
 public:
  static constexpr int kFastMs = 200;   // in view
  static constexpr int kSlowMs = 2000;  // behind another page

  explicit RunFeed(QObject* parent = nullptr);

  void attach(const QString& runPath);  // empty detaches
  const QString& path() const { return m_path; }
  void setFast(bool fast);
  void pollNow();

  // Of the newest update.
  const run::RunStatus& status() const { return m_status; }
  // Of the run's own spec, once planIsKnown(): null and 0 when it cannot be read or estimated.
  // planned() is the estimate's tokens per second.
  bool planIsKnown() const { return m_planIsKnown; }
  const spec::RunSpec* spec() const { return m_spec.get(); }
  double planned() const { return m_planned; }

 signals:
  void attached();  // another run, or none
  void updated(std::shared_ptr<const tera::gui::RunUpdate> update);
  void planKnown();

 private:
  struct Tail;  // cursors; touched by the worker thread only
  struct Plan {
    std::shared_ptr<const spec::RunSpec> spec;
    double tokens_per_s = 0;
  };
  void deliver(std::shared_ptr<RunUpdate>& update);
  void takePlan(const Plan& plan);

  QString m_path;
  run::RunStatus m_status;
  std::shared_ptr<const spec::RunSpec> m_spec;
  double m_planned = 0;
  bool m_planIsKnown = false;
  std::shared_ptr<Tail> m_tail;
  QTimer m_timer;
  LatestJob<std::shared_ptr<RunUpdate>> m_poll;
  LatestJob<Plan> m_plan;
};

}  // namespace tera::gui
