// Journal: edits that are not saved yet, on disk within a second, so that a crash loses nothing.
// One JSON line per change beside the project (.NAME.journal): {"time_s": ..., "text": ...}.
#pragma once
#include <optional>

#include <QFile>
#include <QLockFile>
#include <QObject>
#include <QTimer>

#include "gui/job.h"

namespace tera::gui {

class Journal : public QObject {
  Q_OBJECT
 public:
  static constexpr int kDelayMs = 500;  // from an edit to the write; plus fsync below one second

  explicit Journal(QObject* parent = nullptr);
  ~Journal() override;  // writes what is pending

  // Starts journalling a project file; empty is a project that was never saved. Returns the edits
  // that an earlier session left behind, if any.
  std::optional<QString> open(const QString& projectFile);
  // Another window has this project open: nothing is journalled here. Says which process.
  QString lockedBy() const { return m_lockedBy; }

  void record(const QString& text);
  void discard();  // the text is saved, or thrown away on purpose
  void close();    // stops journalling; what was recorded stays on disk

  static QString journalPath(const QString& projectFile);

 private:
  void write();
  static void appendDurably(const QString& path, const QString& text);

  QString m_path;
  QString m_pending;
  bool m_hasPending = false;
  QString m_lockedBy;
  std::unique_ptr<QLockFile> m_lock;
  QTimer m_timer;
  JobThread m_thread;
};

}  // namespace tera::gui
