// MainWindow: menus, toolbar, opening, saving and closing.
#include <QAction>
#include <QActionGroup>
#include <QApplication>
#include <QCloseEvent>
#include <QDir>
#include <QDockWidget>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenuBar>
#include <QMessageBox>
#include <QMimeData>
#include <QPushButton>
#include <QStackedWidget>
#include <QToolBar>
#include <QUndoStack>
#include <QWhatsThis>

#include "core/run/run_directory.h"
#include "gui/about.h"
#include "gui/icons.h"
#include "gui/main_window.h"
#include "gui/pages/monitor_page.h"
#include "gui/text.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/docks.h"
#include "gui/widgets/yaml_editor.h"

namespace tera::gui {

// Every action is also one of the window: shortcuts work everywhere, and the palette lists them.
QAction* MainWindow::action(QMenu* menu,
                            const QString& text,
                            const QKeySequence& keys,
                            const std::function<void()>& run,
                            const QString& icon) {
  auto* made = new QAction(text, this);
  made->setShortcut(keys);
  if (!icon.isEmpty()) made->setIcon(themedIcon(icon));
  if (run) connect(made, &QAction::triggered, this, run);
  menu->addAction(made);
  addAction(made);
  return made;
}

void MainWindow::makeMenus() {
  makeFileMenu();
  makeEditMenu();
  makeViewMenu();
  makeRunMenu();
  makeHelpMenu();
}

void MainWindow::makeFileMenu() {
  QMenu* menu = menuBar()->addMenu(tr("&File"));
  action(
      menu, tr("&New from template…"), QKeySequence::New,
      [this] { showPage(QStringLiteral("start")); }, QStringLiteral("new"));
  action(
      menu, tr("&Open…"), QKeySequence::Open, [this] { chooseFile(); }, QStringLiteral("open"));
  action(
      menu, tr("&Save"), QKeySequence::Save, [this] { saveProject(); }, QStringLiteral("save"));
  action(menu, tr("Save &as…"), QKeySequence(Qt::CTRL | Qt::SHIFT | Qt::Key_S),
         [this] { saveAs(); });
  action(menu, tr("&Close project"), QKeySequence(Qt::CTRL | Qt::Key_W), [this] {
    if (m_session.isDirty() && !saveProject()) return;
    m_session.close();
    showPage(QStringLiteral("start"));
  });
  menu->addSeparator();
  action(menu, tr("Save &picture of the window…"), QKeySequence(Qt::CTRL | Qt::Key_E), [this] {
    auto* dialog =
        new QFileDialog(this, tr("Save picture"), QDir::homePath(), tr("Pictures (*.png)"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setAcceptMode(QFileDialog::AcceptSave);
    dialog->setDefaultSuffix(QStringLiteral("png"));
    connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& path) {
      if (!grab().save(path)) say(tr("Cannot write %1.").arg(path), true);
    });
    dialog->open();
  });
  menu->addSeparator();
  action(menu, tr("&Quit"), QKeySequence::Quit, [this] { close(); });
}

void MainWindow::makeEditMenu() {
  QMenu* menu = menuBar()->addMenu(tr("&Edit"));
  QUndoStack* stack = m_session.document().undoStack();
  QAction* undo = stack->createUndoAction(this, tr("Undo"));
  undo->setShortcut(QKeySequence::Undo);
  undo->setIcon(themedIcon(QStringLiteral("undo")));
  QAction* redo = stack->createRedoAction(this, tr("Redo"));
  redo->setShortcut(QKeySequence::Redo);
  redo->setIcon(themedIcon(QStringLiteral("redo")));
  for (QAction* one : {undo, redo}) {
    menu->addAction(one);
    addAction(one);
  }
  menu->addSeparator();
  action(
      menu, tr("&Find command or field…"), QKeySequence(Qt::CTRL | Qt::Key_K),
      [this] { showPalette(); }, QStringLiteral("search"));
  action(
      menu, tr("&Pin estimate as baseline"), QKeySequence(Qt::CTRL | Qt::Key_B),
      [this] { m_session.pinBaseline(); }, QStringLiteral("pin"));
  action(menu, tr("&Next problem"), QKeySequence(Qt::Key_F8), [this] {
    m_problemsAction->setChecked(true);
    m_problems->step(1);
  });
  action(menu, tr("P&revious problem"), QKeySequence(Qt::SHIFT | Qt::Key_F8), [this] {
    m_problemsAction->setChecked(true);
    m_problems->step(-1);
  });
}

void MainWindow::makeViewMenu() {
  QMenu* menu = menuBar()->addMenu(tr("&View"));
  for (std::size_t i = 0; i < m_pages.size(); ++i) {
    const auto key = static_cast<Qt::Key>(Qt::Key_1 + static_cast<int>(i));
    action(
        menu, m_pages[i].title, QKeySequence(Qt::CTRL | key),
        [this, name = m_pages[i].name] { showPage(name); }, m_pages[i].icon);
  }
  menu->addSeparator();
  const auto toggle = [&](const QString& text, const QKeySequence& keys, QDockWidget* dock,
                          const QString& icon) {
    QAction* made = action(menu, text, keys, {}, icon);
    made->setCheckable(true);
    connect(made, &QAction::toggled, this, [this, dock](bool on) {
      showDocks();
      if (on) dock->raise();
    });
    dock->installEventFilter(this);
    return made;
  };
  m_yamlAction = toggle(tr("&YAML beside the form"), QKeySequence(Qt::Key_F4), m_yamlDock,
                        QStringLiteral("yaml"));
  m_problemsAction = toggle(tr("&Problems"), QKeySequence(Qt::ALT | Qt::Key_1), m_problemsDock, {});
  m_explainAction =
      toggle(tr("&Explain the estimate"), QKeySequence(Qt::ALT | Qt::Key_2), m_explainDock, {});
  menu->addSeparator();
  QMenu* themes = menu->addMenu(tr("&Theme"));
  auto* group = new QActionGroup(this);
  for (const auto& [choice, text] :
       {std::pair{ThemeChoice::System, tr("&System")}, std::pair{ThemeChoice::Light, tr("&Light")},
        std::pair{ThemeChoice::Dark, tr("&Dark")}}) {
    QAction* one = themes->addAction(text);
    one->setCheckable(true);
    one->setChecked(choice == themeChoice());
    group->addAction(one);
    connect(one, &QAction::triggered, this, [this, choice = choice] {
      m_session.settings().setTheme(choice);
      applyTheme(choice);
    });
  }
  action(menu, tr("Next &region"), QKeySequence(Qt::Key_F6), [this] { cycleRegion(1); });
  action(menu, tr("Pre&vious region"), QKeySequence(Qt::SHIFT | Qt::Key_F6),
         [this] { cycleRegion(-1); });
  action(menu, tr("Reset la&yout"), {}, [this] {
    for (QAction* one : {m_yamlAction, m_problemsAction, m_explainAction})
      one->setChecked(false);
    resize(1366, 768);
  });
}

void MainWindow::makeRunMenu() {
  QMenu* menu = menuBar()->addMenu(tr("&Run"));
  QAction* run = action(
      menu, tr("&Run"), QKeySequence(Qt::Key_F5), [this] { runIt(); }, QStringLiteral("run"));
  action(menu, tr("&Dry run: preflight and command"), QKeySequence(Qt::SHIFT | Qt::Key_F5),
         [this] { showPage(QStringLiteral("launch")); });
  m_stopAction = action(
      menu, tr("&Stop after a checkpoint"), {},
      [this] { static_cast<MonitorPage*>(showPage(QStringLiteral("monitor")))->stopRun(); },
      QStringLiteral("stop"));
  m_stopAction->setEnabled(false);
  QToolBar* bar = addToolBar(tr("Main"));
  bar->setObjectName(QStringLiteral("main"));
  bar->setMovable(false);
  bar->setIconSize({18, 18});
  bar->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
  for (QAction* one : actions()) {
    const QKeySequence keys = one->shortcut();
    if (keys == QKeySequence(QKeySequence::Open) || keys == QKeySequence(QKeySequence::Save) ||
        keys == QKeySequence(QKeySequence::Undo) || keys == QKeySequence(QKeySequence::Redo)) {
      one->setPriority(QAction::LowPriority);  // icon only
      bar->addAction(one);
    }
  }
  bar->addSeparator();
  bar->addAction(run);
  bar->addAction(m_stopAction);
  m_stopAction->setIconText(tr("Stop"));
  bar->addSeparator();
  m_yamlAction->setIconText(tr("YAML"));
  bar->addAction(m_yamlAction);
  auto* spacer = new QWidget;
  spacer->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Preferred);
  bar->addWidget(spacer);
  QAction* find = nullptr;
  for (QAction* one : actions()) {
    if (one->shortcut() == QKeySequence(Qt::CTRL | Qt::Key_K)) find = one;
  }
  find->setIconText(tr("Search  Ctrl+K"));
  bar->addAction(find);
  QAction* light = bar->addAction(themedIcon(QStringLiteral("theme")), tr("Light or dark"), this,
                                  &MainWindow::cycleTheme);
  light->setPriority(QAction::LowPriority);
  for (QAction* one : bar->actions()) {
    if (QWidget* button = bar->widgetForAction(one); button != nullptr && !one->text().isEmpty()) {
      button->setAccessibleName(one->text().remove(QLatin1Char('&')));
      button->setFocusPolicy(Qt::TabFocus);
    }
  }
}

void MainWindow::makeHelpMenu() {
  QMenu* menu = menuBar()->addMenu(tr("&Help"));
  action(menu, tr("&Help for the field in focus"), QKeySequence(Qt::Key_F1), [this] {
    QWidget* focus = QApplication::focusWidget();
    while (focus != nullptr && focus->whatsThis().isEmpty())
      focus = focus->parentWidget();
    if (focus == nullptr) {
      showShortcuts(this, actions());
      return;
    }
    QWhatsThis::showText(focus->mapToGlobal(QPoint(0, focus->height())), focus->whatsThis(), focus);
  });
  action(menu, tr("&Keyboard…"), QKeySequence(Qt::CTRL | Qt::Key_Question),
         [this] { showShortcuts(this, actions()); });
  action(menu, tr("&About TeraGPT Workbench"), {}, [this] { showAbout(this); });
}

void MainWindow::chooseFile() {
  auto* dialog = new QFileDialog(this, tr("Open a project or a run"), QDir::homePath(),
                                 tr("Projects and runs (*.yaml *.yml spec.yaml);;All files (*)"));
  dialog->setAttribute(Qt::WA_DeleteOnClose);
  dialog->setFileMode(QFileDialog::ExistingFile);
  connect(dialog, &QFileDialog::fileSelected, this, [this](const QString& path) {
    // spec.yaml inside a run directory means that run.
    const QFileInfo info(path);
    const bool run = info.fileName() == QLatin1String("spec.yaml") &&
                     QFileInfo::exists(info.absoluteDir().filePath(QStringLiteral("run.json")));
    if (const Result<void> opened = openArgument(run ? info.absolutePath() : path); !opened)
      say(qs(opened.error().message), true);
  });
  dialog->open();
}

bool MainWindow::saveProject() {
  if (!m_session.hasProject()) return true;
  if (m_session.filePath().isEmpty()) {
    saveAs();
    return false;  // the dialog answers later
  }
  const Result<void> saved = m_session.save();
  if (!saved) say(qs(saved.error().message), true);
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
      say(qs(saved.error().message), true);
    } else if (afterwards) {
      afterwards();
    }
  });
  dialog->open();
}

// Two questions at most, each once: unsaved edits, then a run that goes on. Dialogs are not nested:
// each answer closes the window again.
void MainWindow::closeEvent(QCloseEvent* event) {
  if (m_session.hasProject() && m_session.isDirty() && !m_editsAnswered) {
    event->ignore();
    askAboutEdits();
    return;
  }
  if (m_session.runIsAlive() && !m_runAnswered) {
    event->ignore();
    askAboutRun();
    return;
  }
  m_session.settings().setWindow(saveGeometry(), saveState(kStateVersion));
  QMainWindow::closeEvent(event);
}

void MainWindow::askAboutEdits() {
  auto* box = new QMessageBox(QMessageBox::NoIcon, tr("Unsaved edits"),
                              tr("%1 has edits that are not saved.").arg(m_session.title()),
                              QMessageBox::Save | QMessageBox::Discard | QMessageBox::Cancel, this);
  box->setAttribute(Qt::WA_DeleteOnClose);
  box->setDefaultButton(QMessageBox::Save);
  connect(box, &QMessageBox::finished, this, [this](int answer) {
    m_editsAnswered = answer == QMessageBox::Discard;
    if (answer == QMessageBox::Discard) {
      m_session.discardEdits();
      close();
    } else if (answer == QMessageBox::Save) {
      if (m_session.filePath().isEmpty()) {
        saveAs([this] { close(); });
      } else if (saveProject()) {
        close();
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
    if (clicked == keep) {
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
    for (const auto& [dock, shown] :
         {std::pair{m_yamlDock, m_yamlAction}, std::pair{m_problemsDock, m_problemsAction},
          std::pair{m_explainDock, m_explainAction}}) {
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
    if (const Result<void> opened = openArgument(url.toLocalFile()); !opened)
      say(qs(opened.error().message), true);
    break;
  }
}

}  // namespace tera::gui
