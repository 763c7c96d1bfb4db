// MainWindow: opening, saving and closing, and what is asked before edits or a run are left alone.
#include <QAction>
#include <QCloseEvent>
#include <QDir>
#include <QDockWidget>
#include <QFileDialog>
#include <QFileInfo>
#include <QMessageBox>
#include <QMimeData>
#include <QPushButton>
#include <QUndoStack>

#include "core/base/vfs.h"
#include "core/run/run_directory.h"
#include "gui/main_window.h"
#include "gui/pages/monitor_page.h"
#include "gui/text.h"
#include "gui/widgets/banner.h"

namespace tera::gui {
namespace {

// The run directory that a file is the immutable spec of; empty: of none.
QString runOfSpec(const QFileInfo& file) {
  const bool run = file.fileName() == QLatin1String("spec.yaml") &&
                   QFileInfo::exists(file.absoluteDir().filePath(QStringLiteral("run.json")));
  return run ? file.absolutePath() : QString();
}

bool isProject(const QFileInfo& info) {
  return info.exists() && !info.isDir() && runOfSpec(info).isEmpty();
}

Result<run::RunDirectory> findRun(const QString& argument) {
  const QFileInfo info(argument);
  const QString inside = runOfSpec(info);
  if (!inside.isEmpty()) return run::RunDirectory::open(posix_vfs(), ss(inside));
  if (info.isDir()) return run::RunDirectory::open(posix_vfs(), ss(info.absoluteFilePath()));
  Result<run::RunDirectory> named = run::RunDirectory::open(posix_vfs(), ss(argument));
  if (named || named.error().code != ErrorCode::not_found) return named;
  return fail(ErrorCode::not_found,
              ss(MainWindow::tr("%1: there is no such file or run; expected a spec in YAML, a run "
                                "directory, or the id of a run")
                     .arg(argument)),
              ss(MainWindow::tr("check the spelling; `teragpt init` writes a spec, `teragpt runs` "
                                "lists the runs of this machine")));
}

}  // namespace

Result<void> MainWindow::openArgument(const QString& argument) {
  if (isProject(QFileInfo(argument))) {
    TERA_TRY_VOID(m_session.openFile(argument));
    showPage(QStringLiteral("design"));
    return {};
  }
  TERA_TRY(const run::RunDirectory dir, findRun(argument));
  m_banner->hide();
  m_session.attachRun(qs(dir.path().string()));
  showPage(QStringLiteral("monitor"));
  return {};
}

void MainWindow::open(const QString& what) {
  const auto openIt = [this, what] {
    if (const Result<void> opened = openArgument(what); !opened) m_banner->show(opened.error());
  };
  isProject(QFileInfo(what)) ? afterEdits(openIt) : openIt();
}

void MainWindow::newFromTemplate(const QString& preset) {
  afterEdits([this, preset] {
    if (const Result<void> made = m_session.newFromTemplate(preset); !made) {
      m_banner->show(made.error());
    } else {
      showPage(QStringLiteral("design"));
    }
  });
}

void MainWindow::chooseFile() {
  auto* dialog = new QFileDialog(this, tr("Open a project or a run"), QDir::homePath(),
                                 tr("Projects and runs (*.yaml *.yml spec.yaml);;All files (*)"));
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setFileMode(QFileDialog::ExistingFile);
  connect(dialog, &QFileDialog::fileSelected, this, &MainWindow::open);
  dialog->open();
}

void MainWindow::closeProject() {
  if (!m_session.hasProject()) return;
  afterEdits([this] {
    m_session.close();
    showPage(QStringLiteral("start"));
  });
}

bool MainWindow::saveProject() {
  if (!m_session.hasProject()) return true;
  if (m_session.filePath().isEmpty()) {
    saveAs();
    return false;  // the dialog answers later
  }
  const Result<void> saved = m_session.save();
  if (!saved) m_banner->show(saved.error());
  return saved.has_value();
}

void MainWindow::saveAs(const std::function<void()>& afterwards) {
  if (!m_session.hasProject()) return;
  auto* dialog =
      new QFileDialog(this, tr("Save project"), QDir::homePath(), tr("Projects (*.yaml)"));
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setAcceptMode(QFileDialog::AcceptSave);
  dialog->setDefaultSuffix(QStringLiteral("yaml"));
  dialog->selectFile(qs(m_session.document().spec().name) + QStringLiteral(".yaml"));
  connect(dialog, &QFileDialog::fileSelected, this, [this, afterwards](const QString& path) {
    if (const Result<void> saved = m_session.saveAs(path); !saved) {
      m_banner->show(saved.error());
    } else if (afterwards) {
      afterwards();
    }
  });
  dialog->open();
}

void MainWindow::savePicture() {
  auto* dialog =
      new QFileDialog(this, tr("Save picture"), QDir::homePath(), tr("Pictures (*.png)"));
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setAcceptMode(QFileDialog::AcceptSave);
  dialog->setDefaultSuffix(QStringLiteral("png"));
  connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& path) {
    if (!grab().save(path)) m_banner->show(tr("Cannot write %1.").arg(path), true);
  });
  dialog->open();
}

// Two questions at most: unsaved edits, then a run that goes on. Dialogs are not nested: each
// answer closes the window again.
void MainWindow::closeEvent(QCloseEvent* event) {
  const bool edits = m_session.hasProject() && m_session.isDirty();
  if (edits || (m_session.runIsAlive() && !m_runAnswered)) {
    event->ignore();
    edits ? afterEdits([this] { close(); }) : askAboutRun();
    return;
  }
  saveLayout();
  QMainWindow::closeEvent(event);
}

void MainWindow::afterEdits(const std::function<void()>& run) {
  if (!m_session.hasProject() || !m_session.isDirty()) return run();
  auto* box = new QMessageBox(QMessageBox::NoIcon, tr("Unsaved edits"),
                              tr("%1 has edits that are not saved.").arg(m_session.title()),
                              QMessageBox::Save | QMessageBox::Discard | QMessageBox::Cancel, this);
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->setDefaultButton(QMessageBox::Save);
  connect(box, &QMessageBox::finished, this, [this, run](int answer) {
    if (answer == QMessageBox::Discard) {
      m_session.discardEdits();
      run();
    } else if (answer == QMessageBox::Save) {
      if (m_session.filePath().isEmpty()) {
        saveAs(run);
      } else if (saveProject()) {
        run();
      }
    }
  });
  box->open();
}

void MainWindow::askAboutRun() {
  auto* box = new QMessageBox(QMessageBox::NoIcon, tr("A run goes on"),
                              tr("%1 is running.").arg(qs(m_session.feed().status().name)),
                              QMessageBox::NoButton, this);
  box->setInformativeText(
      tr("It can go on without this window; the next start finds it again. Stopping writes a "
         "checkpoint first."));
  box->setAttribute(Qt::WA_DeleteOnClose);
  QPushButton* keep = box->addButton(tr("&Keep running"), QMessageBox::AcceptRole);
  QPushButton* stop = box->addButton(tr("&Stop the run"), QMessageBox::DestructiveRole);
  box->addButton(QMessageBox::Cancel);
  box->setDefaultButton(keep);
  connect(box, &QMessageBox::finished, this, [this, box, keep, stop] {
    const QAbstractButton* clicked = box->clickedButton();
    if (clicked != keep && clicked != stop) return;
    m_runAnswered = true;
    if (clicked == keep || !m_session.runIsAlive()) {  // or it has ended by now
      close();
      return;
    }
    m_closeWhenStopped = true;  // closes once the run has been asked to stop
    static_cast<MonitorPage*>(showPage(QStringLiteral("monitor")))->stopRun();
  });
  box->open();
}

bool MainWindow::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() == QEvent::Close) {
    for (const auto& [dock, shown] : docks()) {
      if (watched == dock) shown->setChecked(false);
    }
  }
  return QMainWindow::eventFilter(watched, event);
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
  if (event->mimeData()->hasUrls()) event->acceptProposedAction();
}

void MainWindow::dropEvent(QDropEvent* event) {
  for (const QUrl& url : event->mimeData()->urls()) {
    if (!url.isLocalFile()) continue;
    open(url.toLocalFile());
    break;
  }
}

}  // namespace tera::gui
