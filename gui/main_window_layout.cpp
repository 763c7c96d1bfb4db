// MainWindow: sizes, docks and splitters, kept from one start to the next; regions; the theme.
#include <QAction>
#include <QApplication>
#include <QDockWidget>
#include <QFileInfo>
#include <QListWidget>
#include <QScrollArea>
#include <QSplitter>
#include <QStackedWidget>

#include "gui/main_window.h"
#include "gui/widgets/banner.h"

namespace tera::gui {
namespace {
constexpr QSize kFirstSize(1366, 768);
}

std::vector<std::pair<QDockWidget*, QAction*>> MainWindow::docks() const {
  return {{m_yamlDock, m_yamlAction},
          {m_problemsDock, m_problemsAction},
          {m_explainDock, m_explainAction}};
}

void MainWindow::restoreLayout() {
  const WindowLayout last = m_session.settings().layout();
  if (last.geometry.isEmpty() || !restoreGeometry(last.geometry)) resize(kFirstSize);
  if (!restoreState(last.docks, kStateVersion)) restoreState(m_madeDocks, kStateVersion);
  for (const auto& [dock, shown] : docks())
    shown->setChecked(last.openDocks.contains(dock->objectName()));
  showDocks();
}

void MainWindow::reopen() {
  const WindowLayout last = m_session.settings().layout();
  if (m_session.restoreUntitled()) {
    showPage(QStringLiteral("design"));
    return;
  }
  if (!last.project.isEmpty()) {
    if (const Result<void> opened = m_session.openFile(last.project); !opened)
      m_banner->show(opened.error());
  }
  if (QFileInfo(last.run).isDir()) m_session.attachRun(last.run);
  const bool known = last.page == QLatin1String("monitor") ? !m_session.feed().path().isEmpty()
                                                           : m_session.hasProject();
  if (known) showPage(last.page);
}

void MainWindow::saveLayout() {
  m_saveLayout.stop();
  if (m_session.isOnlyLooking()) return;
  WindowLayout layout{.geometry = saveGeometry(),
                      .docks = saveState(kStateVersion),
                      .openDocks = {},
                      .splitters = {},
                      .page = currentPageName(),
                      .project = m_session.filePath(),
                      .run = m_session.feed().path()};
  for (const auto& [dock, shown] : docks()) {
    if (shown->isChecked()) layout.openDocks << dock->objectName();
  }
  for (const Entry& entry : m_pages) {
    for (auto it = entry.made.begin(); it != entry.made.end(); ++it) {
      layout.splitters.insert(entry.name + QLatin1Char('/') + it.key(),
                              entry.page->findChild<QSplitter*>(it.key())->saveState());
    }
  }
  m_session.settings().setLayout(layout);
}

void MainWindow::layoutChanged() {
  if (isVisible()) m_saveLayout.start();
}

void MainWindow::resetLayout() {
  for (const auto& [dock, shown] : docks())
    shown->setChecked(false);
  restoreState(m_madeDocks, kStateVersion);
  showDocks();
  for (const Entry& entry : m_pages) {
    for (auto it = entry.made.begin(); it != entry.made.end(); ++it)
      entry.page->findChild<QSplitter*>(it.key())->restoreState(it.value());
  }
  resize(kFirstSize);
}

void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  layoutChanged();
  const bool wide = width() >= kWideRail;
  m_rail->setFixedWidth(wide ? 128 : 48);
  for (int i = 0; i < m_rail->count(); ++i)
    m_rail->item(i)->setText(wide ? m_pages[static_cast<std::size_t>(i)].title : QString());
}

void MainWindow::moveEvent(QMoveEvent* event) {
  QMainWindow::moveEvent(event);
  layoutChanged();
}

void MainWindow::cycleRegion(int by) {
  std::vector<QWidget*> regions{m_rail,     m_stripHost,    m_stack->currentWidget(),
                                m_yamlDock, m_problemsDock, m_explainDock};
  std::erase_if(regions,
                [](const QWidget* region) { return region == nullptr || !region->isVisible(); });
  const int count = static_cast<int>(regions.size());
  int now = 0;
  for (int i = 0; i < count; ++i) {
    QWidget* region = regions[static_cast<std::size_t>(i)];
    QWidget* focus = QApplication::focusWidget();
    if (focus != nullptr && (region == focus || region->isAncestorOf(focus))) now = i;
  }
  QWidget* next = regions[static_cast<std::size_t>((now + by + count) % count)];
  if (next->focusPolicy() != Qt::NoFocus) {
    next->setFocus(Qt::ShortcutFocusReason);
    return;
  }
  for (QWidget* child : next->findChildren<QWidget*>()) {
    if ((child->focusPolicy() & Qt::TabFocus) == 0 || !child->isVisible() || !child->isEnabled())
      continue;
    child->setFocus(Qt::ShortcutFocusReason);
    return;
  }
}

void MainWindow::cycleTheme() {
  const ThemeChoice next = theme().dark ? ThemeChoice::Light : ThemeChoice::Dark;
  m_session.settings().setTheme(next);
  applyTheme(next);
}

}  // namespace tera::gui
