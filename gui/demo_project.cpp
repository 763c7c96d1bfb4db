#include "gui/demo_project.h"

#include <QDir>
#include <QJsonDocument>
#include <QJsonObject>
#include <QRegularExpression>
#include <QStandardPaths>

namespace tera::gui {
namespace {
constexpr auto kSchema = "teragpt.demo/1";
constexpr int kEndMs = 2000;
constexpr int kKeptMessages = 20;
}  // namespace

DemoProject::DemoProject(QObject* parent) : QObject(parent) {
  connect(&m_process, &QProcess::readyReadStandardOutput, this,
          [this] { m_output += m_process.readAllStandardOutput(); });
  connect(&m_process, &QProcess::readyReadStandardError, this, &DemoProject::readProgress);
  connect(&m_process, &QProcess::finished, this, &DemoProject::finished);
  connect(&m_process, &QProcess::errorOccurred, this, [this](QProcess::ProcessError error) {
    if (error == QProcess::FailedToStart)
      emit failed(tr("%1 did not start: %2").arg(m_process.program(), m_process.errorString()), {});
  });
}

DemoProject::~DemoProject() {
  m_process.disconnect(this);
  if (!busy()) return;
  m_process.terminate();
  if (!m_process.waitForFinished(kEndMs)) m_process.kill();
}

QString DemoProject::defaultFolder() {
  return QStandardPaths::writableLocation(QStandardPaths::GenericDataLocation) +
         QStringLiteral("/teragpt/demo");
}

void DemoProject::prepare(const QString& program, const QString& folder) {
  if (busy()) return;
  m_output.clear();
  m_messages.clear();
  m_cancelled = false;
  QDir().mkpath(folder);
  m_process.start(program, {QStringLiteral("demo"), QStringLiteral("--prepare-only"),
                            QStringLiteral("--out"), folder, QStringLiteral("--json")});
}

void DemoProject::cancel() {
  if (!busy()) return;
  m_cancelled = true;
  m_process.terminate();
}

void DemoProject::readProgress() {
  const QString text = QString::fromUtf8(m_process.readAllStandardError());
  static const QRegularExpression ends(QStringLiteral("[\r\n]+"));
  for (const QString& line : text.split(ends, Qt::SkipEmptyParts)) {
    m_messages.append(line.trimmed());
    if (m_messages.size() > kKeptMessages) m_messages.removeFirst();
    emit progress(line.trimmed());
  }
}

void DemoProject::finished(int exitCode, QProcess::ExitStatus status) {
  readProgress();
  m_output += m_process.readAllStandardOutput();
  if (m_cancelled) {
    emit cancelled();
    return;
  }
  QString spec;
  for (const QByteArray& line : m_output.split('\n')) {
    const QJsonObject document = QJsonDocument::fromJson(line).object();
    if (document.value(QLatin1String("schema")).toString() == QLatin1String(kSchema))
      spec = document.value(QLatin1String("spec")).toString();
  }
  if (status == QProcess::NormalExit && exitCode == 0 && !spec.isEmpty()) {
    emit ready(spec);
    return;
  }
  const QString said =
      m_messages.isEmpty() ? tr("it said nothing") : m_messages.join(QLatin1Char('\n'));
  emit failed(status == QProcess::CrashExit
                  ? tr("teragpt demo was ended by signal %1: %2").arg(exitCode).arg(said)
                  : tr("teragpt demo ended with code %1: %2").arg(exitCode).arg(said),
              tr("run it in a terminal to see all of it: %1 %2")
                  .arg(m_process.program(), m_process.arguments().join(QLatin1Char(' '))));
}

}  // namespace tera::gui
