#include "gui/journal.h"

#include <unistd.h>

#include <QDateTime>
#include <QDir>
#include <QFileInfo>
#include <QJsonDocument>
#include <QJsonObject>
#include <QStandardPaths>

namespace tera::gui {

Journal::Journal(QObject* parent) : QObject(parent) {
  m_timer.setSingleShot(true);
  m_timer.setInterval(kDelayMs);
  connect(&m_timer, &QTimer::timeout, this, &Journal::write);
}

Journal::~Journal() {
  close();
}

QString Journal::journalPath(const QString& projectFile) {
  const QFileInfo info(projectFile);
  if (!projectFile.isEmpty() && QFileInfo(info.absolutePath()).isWritable())
    return info.absoluteDir().filePath(QStringLiteral(".%1.journal").arg(info.fileName()));
  // Beside nothing, or beside a file in a folder that is not ours: the user's own data folder.
  const QDir dir(QStandardPaths::writableLocation(QStandardPaths::GenericDataLocation) +
                 QStringLiteral("/teragpt/journal"));
  const QString name = projectFile.isEmpty()
                           ? QStringLiteral("untitled")
                           : info.absoluteFilePath().replace(QLatin1Char('/'), QLatin1Char('!'));
  return dir.filePath(name + QStringLiteral(".journal"));
}

std::optional<QString> Journal::open(const QString& projectFile) {
  close();
  const QString path = journalPath(projectFile);
  QDir().mkpath(QFileInfo(path).absolutePath());
  m_lock = std::make_unique<QLockFile>(path + QStringLiteral(".lock"));
  m_lock->setStaleLockTime(0);  // held until its process is gone, however long that is
  m_lockedBy.clear();
  if (!m_lock->tryLock(0)) {
    qint64 pid = 0;
    QString host, application;
    m_lock->getLockInfo(&pid, &host, &application);
    m_lockedBy = pid > 0 ? tr("process %1 (%2)").arg(pid).arg(application) : tr("another program");
    m_lock.reset();
    return std::nullopt;
  }
  m_path = path;
  QFile file(path);
  if (!file.open(QIODevice::ReadOnly)) return std::nullopt;
  std::optional<QString> last;
  while (!file.atEnd()) {  // a line torn by a crash does not parse and is passed over
    const QJsonObject entry = QJsonDocument::fromJson(file.readLine()).object();
    if (entry.contains(QLatin1String("text"))) last = entry.value(QLatin1String("text")).toString();
  }
  return last;
}

void Journal::record(const QString& text) {
  if (m_path.isEmpty()) return;
  m_pending = text;
  m_hasPending = true;
  if (!m_timer.isActive()) m_timer.start();
}

void Journal::write() {
  if (!m_hasPending || m_path.isEmpty()) return;
  m_hasPending = false;
  m_thread.post([path = m_path, text = m_pending] { appendDurably(path, text); });
}

void Journal::appendDurably(const QString& path, const QString& text) {
  QFile file(path);
  if (!file.open(QIODevice::WriteOnly | QIODevice::Append)) return;
  const QJsonObject entry{
      {QStringLiteral("time_s"), static_cast<double>(QDateTime::currentMSecsSinceEpoch()) / 1000},
      {QStringLiteral("text"), text}};
  file.write(QJsonDocument(entry).toJson(QJsonDocument::Compact) + '\n');
  file.flush();
  fsync(file.handle());
}

void Journal::discard() {
  m_timer.stop();
  m_hasPending = false;
  if (m_path.isEmpty()) return;
  m_thread.post([path = m_path] { QFile::remove(path); });
}

void Journal::close() {
  m_timer.stop();
  write();
  m_thread.drain();
  m_path.clear();
  m_lock.reset();
}

}  // namespace tera::gui
