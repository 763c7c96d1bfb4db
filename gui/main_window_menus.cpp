// MainWindow: menus, toolbar, and the palette of all commands and fields.
#include <QAction>
#include <QActionGroup>
#include <QApplication>
#include <QDockWidget>
#include <QMenuBar>
#include <QToolBar>
#include <QUndoStack>
#include <QWhatsThis>

#include "core/spec/yaml.h"
#include "gui/about.h"
#include "gui/icons.h"
#include "gui/main_window.h"
#include "gui/pages/monitor_page.h"
#include "gui/text.h"
#include "gui/undo_keys.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/docks.h"
#include "gui/widgets/field_text.h"
#include "gui/widgets/yaml_editor.h"

namespace tera::gui {

// Every action is also one of the window: shortcuts work everywhere, and the palette lists them.
// Its name is that of its icon.
QAction* MainWindow::action(QMenu* menu,
                            const QString& text,
                            const QKeySequence& keys,
                            const std::function<void()>& run,
                            const QString& icon) {
  auto* made = new QAction(text, this);
  made->setShortcut(keys);
  if (!icon.isEmpty()) made->setIcon(themedIcon(icon));
  made->setObjectName(icon);
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
  action(menu, tr("&Close project"), QKeySequence(Qt::CTRL | Qt::Key_W),
         [this] { closeProject(); });
  menu->addSeparator();
  action(menu, tr("Save &picture of the window…"), QKeySequence(Qt::CTRL | Qt::Key_E),
         [this] { savePicture(); });
  menu->addSeparator();
  action(menu, tr("&Quit"), QKeySequence::Quit, [this] { close(); });
}

void MainWindow::makeEditMenu() {
  QMenu* menu = menuBar()->addMenu(tr("&Edit"));
  QUndoStack* stack = m_session.document().undoStack();
  QAction* undo = stack->createUndoAction(this, tr("Undo"));
  undo->setShortcuts(undoKeys());
  undo->setIcon(themedIcon(QStringLiteral("undo")));
  undo->setObjectName(QStringLiteral("undo"));
  QAction* redo = stack->createRedoAction(this, tr("Redo"));
  redo->setShortcuts(redoKeys());
  redo->setIcon(themedIcon(QStringLiteral("redo")));
  redo->setObjectName(QStringLiteral("redo"));
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
      layoutChanged();
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
  action(menu, tr("Reset la&yout"), {}, [this] { resetLayout(); });
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
  makeToolBar(run);
}

void MainWindow::makeToolBar(QAction* run) {
  QToolBar* bar = addToolBar(tr("Main"));
  bar->setObjectName(QStringLiteral("main"));
  bar->setMovable(false);
  bar->setIconSize({18, 18});
  bar->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
  for (const char* name : {"open", "save", "undo", "redo"}) {
    auto* one = findChild<QAction*>(QLatin1String(name));
    one->setPriority(QAction::LowPriority);  // icon only
    bar->addAction(one);
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
  auto* find = findChild<QAction*>(QStringLiteral("search"));
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

CommandPalette* MainWindow::showPalette() {
  std::vector<PaletteEntry> entries;
  for (QAction* one : actions()) {
    if (one->isEnabled() && !one->text().isEmpty()) {
      entries.push_back({one->text().remove(QLatin1Char('&')),
                         one->shortcut().toString(QKeySequence::NativeText), QLatin1Char('>'),
                         [one](const QString&) { one->trigger(); }});
    }
  }
  if (m_session.hasProject()) {
    for (const spec::FieldInfo& info : spec::all_fields()) {
      const Result<std::string> value = spec::get_field(m_session.document().spec(), info.path);
      entries.push_back(
          {fieldLabel(info),
           QStringLiteral("%1 = %2").arg(qs(info.path), value ? qs(*value) : QString()),
           QLatin1Char(':'), [this, path = info.path](const QString& argument) {
             goToField(path, 0);
             if (argument.isEmpty()) return;
             if (const Result<void> set = m_session.document().setField(path, ss(argument)); !set)
               m_banner->show(set.error());
           }});
    }
  }
  auto* palette = new CommandPalette(std::move(entries), this);
  palette->move(mapToGlobal(QPoint((width() - palette->width()) / 2, 70)));
  palette->open();
  return palette;
}

}  // namespace tera::gui
