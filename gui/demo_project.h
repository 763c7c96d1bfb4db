// DemoProject: prepares the bundled project by running `teragpt demo --prepare-only` as a child:
// text, tokenizer, token files, spec. A second time everything is there already.
#pragma once
#include <QObject>
#include <QProcess>

namespace tera::gui {

class DemoProject : public QObject {
  Q_OBJECT
 public:
  explicit DemoProject(QObject* parent = nullptr);
  ~DemoProject() override;  // ends the child if it still runs

  static QString defaultFolder();  // in the user's data folder
  void prepare(const QString& program, const QString& folder);
  void cancel();
  bool busy() const { return m_process.state() != QProcess::NotRunning; }

 signals:
  void progress(const QString& line);  // what the child says it is doing
  void ready(const QString& specPath);
  void failed(const QString& message, const QString& hint);
  void cancelled();

 private:
  void readProgress();
  void finished(int exitCode, QProcess::ExitStatus status);

  QProcess m_process;
  QByteArray m_output;
  QStringList m_messages;
  bool m_cancelled = false;
};

}  // namespace tera::gui
