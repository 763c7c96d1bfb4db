// Session: what the window works on: one spec with undo and journal, its live estimate, and one
// run. Pages talk to the session and to models, never to each other.
#pragma once
#include <memory>
#include <optional>

#include <QObject>

#include "core/plan/estimate.h"
#include "gui/document.h"
#include "gui/job.h"
#include "gui/journal.h"
#include "gui/run_feed.h"
#include "gui/settings.h"

namespace tera::gui {

class Session : public QObject {
  Q_OBJECT
 public:
  explicit Session(Settings& settings, QObject* parent = nullptr);
  ~Session() override;  // edits that were not saved stay in the journal

  // A session that only looks (--grab) leaves no lock, no journal and no recent file behind.
  void setOnlyLooking() { m_onlyLooking = true; }
  bool isOnlyLooking() const { return m_onlyLooking; }

  // The spec. Errors are values: the file that is open stays open.
  Result<void> openFile(const QString& path);
  Result<void> newFromTemplate(const QString& modelPreset);
  Result<void> save();  // to filePath(); error when untitled
  Result<void> saveAs(const QString& path);
  void close();         // no project
  void discardEdits();  // back to what is saved, the journal forgotten: a person said so
  // A project that was never saved, left behind by a crash: opened again, if there is one.
  bool restoreUntitled();
  bool hasProject() const { return m_hasProject; }
  bool isDirty() const { return !m_document.isClean(); }
  const QString& filePath() const { return m_filePath; }  // empty = untitled
  QString title() const;
  Document& document() { return m_document; }
  const Document& document() const { return m_document; }
  Settings& settings() { return m_settings; }
  // The spec with data paths made absolute against the project's folder.
  spec::RunSpec resolvedSpec() const;

  // The estimate follows the spec within a frame; null until there is one or when it has errors.
  const plan::Estimate* estimate() const { return m_estimate.get(); }
  const plan::Estimate* baseline() const { return m_baseline.get(); }
  bool estimateBusy() const { return m_estimator.busy(); }
  const QString& estimateProblem() const { return m_estimateProblem; }
  void pinBaseline();  // deltas count from what is on screen now

  // The run.
  RunFeed& feed() { return m_feed; }
  void attachRun(const QString& path);
  bool runIsAlive() const { return m_feed.status().alive; }
  QString teragptProgram() const { return m_program; }

 signals:
  void opening();         // another project takes the place of this one
  void projectChanged();  // another file, saved, dirty or clean
  void estimateChanged();
  void notice(const QString& message, bool isProblem);  // one line for a person
  void recovered();  // edits of a crashed session are in the document again

 private:
  void reestimate();
  void takeEstimate(Result<plan::Estimate>& result);
  void adopt(const QString& text, const QString& path);

  Settings& m_settings;
  Document m_document;
  Journal m_journal;
  RunFeed m_feed;
  QString m_filePath, m_untitledName;
  QString m_program;
  bool m_hasProject = false;
  bool m_onlyLooking = false;
  bool m_pinNext = false;  // the first estimate of a project is its baseline
  std::shared_ptr<const plan::Estimate> m_estimate, m_baseline;
  QString m_estimateProblem;
  LatestJob<Result<plan::Estimate>> m_estimator;
};

}  // namespace tera::gui
