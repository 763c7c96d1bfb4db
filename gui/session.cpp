#include "gui/session.h"

#include <QCoreApplication>
#include <QDir>
#include <QFile>
#include <QFileInfo>

#include "core/base/resources.h"
#include "core/base/vfs.h"
#include "core/plan/origins.h"
#include "core/spec/presets.h"
#include "core/spec/yaml.h"
#include "gui/program.h"
#include "gui/text.h"

namespace tera::gui {
namespace {
constexpr qint64 kMaxSpecBytes = 1 << 20;  // as spec::YamlLimits
}

Session::Session(Settings& settings, QObject* parent)
    : QObject(parent),
      m_settings(settings),
      m_program(findTeragpt(QCoreApplication::applicationDirPath())),
      m_estimator([this](Result<plan::Estimate>& result) { takeEstimate(result); },
                  [this](const QString& problem) {
                    m_estimate.reset();
                    m_estimateProblem = problem;
                    emit estimateChanged();
                  }) {
  connect(&m_document, &Document::specChanged, this, &Session::reestimate);
  connect(&m_document, &Document::textChanged, this, [this] {
    if (m_hasProject && isDirty()) m_journal.record(m_document.text());
  });
  connect(m_document.undoStack(), &QUndoStack::cleanChanged, this, [this](bool clean) {
    if (clean && m_hasProject) {
      m_journal.discard();
    } else if (m_hasProject) {
      m_journal.record(m_document.text());
    }
    emit projectChanged();
  });
}

Session::~Session() {
  // The undo stack says once more that it is clean, when it is emptied at its end. That is no edit
  // of a person, and the journal, which goes before it, is gone by then.
  m_document.undoStack()->disconnect(this);
}

Result<void> Session::openFile(const QString& path) {
  const QFileInfo info(path);
  const QString hint = tr("open the YAML file of a project or run, or start from a template");
  if (!info.exists()) {
    return fail(ErrorCode::not_found,
                ss(tr("%1: there is no such file; expected a spec in YAML").arg(path)), ss(hint));
  }
  if (!info.isFile()) {  // a pipe would block, a folder has no text
    return fail(ErrorCode::invalid_input,
                ss(tr("%1 is not a file; expected a spec in YAML").arg(path)), ss(hint));
  }
  QFile file(info.absoluteFilePath());
  if (!file.open(QIODevice::ReadOnly)) {
    return fail(ErrorCode::io, ss(tr("cannot read %1: %2").arg(path, file.errorString())),
                ss(tr("check its permissions")));
  }
  if (file.size() > kMaxSpecBytes) {
    return fail(ErrorCode::invalid_input,
                ss(tr("%1 has %2 bytes; a spec has at most %3")
                       .arg(path)
                       .arg(file.size())
                       .arg(kMaxSpecBytes)),
                ss(hint));
  }
  adopt(QString::fromUtf8(file.readAll()), info.absoluteFilePath());
  if (!m_onlyLooking) m_settings.addRecentFile(m_filePath);
  return {};
}

Result<void> Session::newFromTemplate(const QString& modelPreset) {
  // A preset may have a whole run of its own (cluster, layout, training); else its model on this
  // computer.
  QString text;
  const Result<std::filesystem::path> run = resource_path("runs/" + ss(modelPreset) + ".yaml");
  if (run) {
    QFile file(qs(run->string()));
    if (file.open(QIODevice::ReadOnly)) text = QString::fromUtf8(file.readAll());
  }
  if (text.isEmpty()) {
    TERA_TRY(const spec::ModelPreset preset, spec::model_preset(ss(modelPreset)));
    text = QStringLiteral("name: %1\nmodel:\n  preset: %1\ncluster:\n  preset: this-machine\n")
               .arg(qs(preset.name));
  }
  m_untitledName = modelPreset;
  adopt(text, {});
  return {};
}

void Session::adopt(const QString& text, const QString& path) {
  emit opening();
  m_hasProject = false;  // what the reset signals is not an edit
  m_filePath = path;
  m_estimate.reset();
  m_baseline.reset();
  m_pinNext = true;
  const std::optional<QString> left = m_onlyLooking ? std::nullopt : m_journal.open(path);
  m_document.reset(text);
  m_hasProject = true;
  reestimate();
  emit projectChanged();
  if (!m_journal.lockedBy().isEmpty()) {
    emit notice(tr("This project is also open in %1; edits here are not journalled.")
                    .arg(m_journal.lockedBy()),
                true);
  }
  if (path.isEmpty()) {
    m_journal.discard();  // another untitled project's edits do not belong here
  } else if (left && *left != text) {
    m_document.replaceText(*left, tr("recovered edits"));
    emit recovered();
  }
}

Result<void> Session::save() {
  if (m_filePath.isEmpty())
    return fail(ErrorCode::invalid_input, ss(tr("the project has no file yet")),
                ss(tr("use Save as")));
  TERA_TRY_VOID(write_file_atomic(posix_vfs(), ss(m_filePath), ss(m_document.text())));
  m_document.undoStack()->setClean();
  m_journal.discard();
  m_settings.addRecentFile(m_filePath);
  emit projectChanged();
  return {};
}

Result<void> Session::saveAs(const QString& path) {
  const QString before = m_filePath;
  m_filePath = QFileInfo(path).absoluteFilePath();
  if (Result<void> saved = save(); !saved) {
    m_filePath = before;
    return saved;
  }
  m_journal.open(m_filePath);
  emit projectChanged();
  return {};
}

void Session::close() {
  m_hasProject = false;
  m_filePath.clear();
  m_journal.close();
  m_document.reset({});
  m_estimate.reset();
  m_baseline.reset();
  emit projectChanged();
  emit estimateChanged();
}

void Session::discardEdits() {
  QUndoStack& stack = *m_document.undoStack();
  stack.cleanIndex() >= 0 ? stack.setIndex(stack.cleanIndex()) : stack.setClean();
  m_journal.discard();
}

bool Session::restoreUntitled() {
  if (!QFileInfo::exists(Journal::journalPath({}))) return false;
  const std::optional<QString> left = m_journal.open({});
  if (!left) return false;
  m_untitledName = tr("recovered");
  adopt({}, {});
  m_document.replaceText(*left, tr("recovered edits"));
  emit recovered();
  return true;
}

QString Session::title() const {
  if (!m_hasProject) return {};
  return m_filePath.isEmpty() ? tr("%1 (not saved)").arg(m_untitledName)
                              : QFileInfo(m_filePath).completeBaseName();
}

spec::RunSpec Session::resolvedSpec() const {
  spec::RunSpec spec = m_document.spec();
  const QDir folder(m_filePath.isEmpty() ? QDir::currentPath()
                                         : QFileInfo(m_filePath).absolutePath());
  const auto resolve = [&](std::string& path) {
    if (!path.empty()) path = ss(QDir::cleanPath(folder.absoluteFilePath(qs(path))));
  };
  for (spec::DatasetConfig& dataset : spec.data.datasets)
    resolve(dataset.path);
  resolve(spec.data.tokenizer);
  return spec;
}

void Session::reestimate() {
  if (!m_hasProject) return;
  if (!m_document.wasGood()) {  // there is no spec yet, so nothing to say about its numbers
    m_estimator.start([]() -> Result<plan::Estimate> {
      return fail(ErrorCode::invalid_input, ss(tr("The YAML text has errors.")));
    });
    return;
  }
  m_estimator.start([spec = m_document.spec()] { return plan::tagged_estimate(spec); });
}

void Session::takeEstimate(Result<plan::Estimate>& result) {
  if (result) {
    m_estimate = std::make_shared<const plan::Estimate>(std::move(result).value());
    m_estimateProblem.clear();
    if (m_pinNext) m_baseline = m_estimate;
    m_pinNext = false;
  } else {
    m_estimate.reset();
    m_estimateProblem = qs(result.error().message);
  }
  emit estimateChanged();
}

void Session::pinBaseline() {
  m_baseline = m_estimate;
  emit estimateChanged();
}

void Session::attachRun(const QString& path) {
  m_feed.attach(path);
}

}  // namespace tera::gui
