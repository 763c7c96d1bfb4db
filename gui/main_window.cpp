#include "gui/main_window.h"

#include <QAction>
#include <QApplication>
#include <QDockWidget>
#include <QFileInfo>
#include <QLabel>
#include <QListWidget>
#include <QStackedWidget>
#include <QStatusBar>
#include <QToolButton>
#include <QVBoxLayout>

#include "core/base/vfs.h"
#include "core/spec/yaml.h"
#include "gui/icons.h"
#include "gui/pages/design_page.h"
#include "gui/pages/launch_page.h"
#include "gui/pages/monitor_page.h"
#include "gui/pages/start_page.h"
#include "gui/text.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/docks.h"
#include "gui/widgets/estimate_strip.h"
#include "gui/widgets/yaml_editor.h"

namespace tera::gui {

MainWindow::MainWindow(Session& session, QWidget* parent)
    : QMainWindow(parent), m_session(session) {
  setMinimumSize(kMinWidth, kMinHeight);
  setWindowIcon(QIcon(QStringLiteral(":/icons/org.teragpt.Workbench.svg")));
  setAcceptDrops(true);
  auto* central = new QWidget;
  auto* row = new QHBoxLayout(central);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(0);
  m_rail = new QListWidget;
  m_rail->setAccessibleName(tr("Pages"));
  m_rail->setFrameShape(QFrame::NoFrame);
  m_rail->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  m_rail->setIconSize({20, 20});
  m_rail->setSpacing(2);
  row->addWidget(m_rail);
  auto* column = new QVBoxLayout;
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(0);
  m_stripHost = new QWidget;
  auto* stripMargin = new QVBoxLayout(m_stripHost);
  stripMargin->setContentsMargins(12, 8, 12, 2);
  m_strip = new EstimateStrip;
  stripMargin->addWidget(m_strip);
  column->addWidget(m_stripHost);
  m_stack = new QStackedWidget;
  column->addWidget(m_stack, 1);
  row->addLayout(column, 1);
  setCentralWidget(central);

  makePages();
  makeDocks();
  makeMenus();
  makeStatusBar();
  connect(m_rail, &QListWidget::currentRowChanged, this, [this](int index) {
    if (index >= 0) showPage(m_pages[static_cast<std::size_t>(index)].name);
  });
  connect(m_strip, &EstimateStrip::termRequested, this, [this](const QString& path) {
    m_explainAction->setChecked(true);
    m_explainDock->raise();
    m_explain->showTerm(path);
  });
  connect(&session, &Session::projectChanged, this, [this] {
    showTitle();
    showDocks();
  });
  connect(&session, &Session::estimateChanged, this, &MainWindow::showEstimate);
  connect(&session.document(), &Document::diagnosticsChanged, this, &MainWindow::showEstimate);
  connect(&session, &Session::notice, this, &MainWindow::say);
  connect(&session, &Session::recovered, this, [this] {
    say(tr("Edits that were not saved last time are back. Undo (Ctrl+Z) returns to the saved "
           "file."),
        false);
  });
  connect(&session.feed(), &RunFeed::updated, this,
          [this] { m_stopAction->setEnabled(m_session.runIsAlive()); });
  showTitle();
  showEstimate();
  showPage(QStringLiteral("start"));
}

void MainWindow::makePages() {
  m_pages = {
      {QStringLiteral("start"), tr("Start"), QStringLiteral("start"),
       [this] {
         auto* page = new StartPage(m_session);
         connect(page, &StartPage::openRequested, this, &MainWindow::chooseFile);
         return static_cast<Page*>(page);
       }},
      {QStringLiteral("design"), tr("Design"), QStringLiteral("design"),
       [this] {
         auto* page = new DesignPage(m_session);
         connect(page, &DesignPage::yamlRequested, this, [this](int line) {
           m_yamlAction->setChecked(true);
           m_yaml->goToLine(line);
         });
         connect(page, &DesignPage::termRequested, m_strip, &EstimateStrip::termRequested);
         return static_cast<Page*>(page);
       }},
      {QStringLiteral("launch"), tr("Launch"), QStringLiteral("launch"),
       [this] {
         auto* page = new LaunchPage(m_session);
         connect(page, &LaunchPage::launched, this, &MainWindow::runStarted);
         return static_cast<Page*>(page);
       }},
      {QStringLiteral("monitor"), tr("Monitor"), QStringLiteral("monitor"),
       [this] {
         auto* page = new MonitorPage(m_session);
         connect(page, &MonitorPage::factsChanged, this, [this](const QString& line) {
           m_runLine = line;
           showTitle();
         });
         connect(page, &MonitorPage::stopAsked, this, [this] {
           if (m_closeWhenStopped) close();
         });
         return static_cast<Page*>(page);
       }},
  };
  for (std::size_t i = 0; i < m_pages.size(); ++i) {
    auto* item = new QListWidgetItem(themedIcon(m_pages[i].icon), m_pages[i].title, m_rail);
    item->setToolTip(tr("%1 (Ctrl+%2)").arg(m_pages[i].title).arg(i + 1));
    item->setSizeHint({0, 38});
  }
}

void MainWindow::makeDocks() {
  m_problems = new ProblemsPanel(m_session);
  m_explain = new ExplainPanel(m_session);
  m_yaml = new YamlEditor(m_session.document());
  const auto dock = [this](const QString& title, const char* name, QWidget* content,
                           Qt::DockWidgetArea area) {
    auto* made = new QDockWidget(title, this);
    made->setObjectName(QLatin1String(name));
    made->setAccessibleName(title);
    made->setWidget(content);
    made->setFeatures(QDockWidget::DockWidgetMovable | QDockWidget::DockWidgetFloatable |
                      QDockWidget::DockWidgetClosable);
    addDockWidget(area, made);
    made->hide();
    return made;
  };
  m_problemsDock = dock(tr("Problems"), "problems", m_problems, Qt::BottomDockWidgetArea);
  m_explainDock = dock(tr("Explain"), "explain", m_explain, Qt::BottomDockWidgetArea);
  m_yamlDock = dock(tr("YAML"), "yaml", m_yaml, Qt::RightDockWidgetArea);
  tabifyDockWidget(m_problemsDock, m_explainDock);
  setCorner(Qt::BottomRightCorner, Qt::RightDockWidgetArea);
  connect(m_problems, &ProblemsPanel::fieldRequested, this, &MainWindow::goToField);
}

void MainWindow::makeStatusBar() {
  m_savedLabel = new QLabel;
  m_savedLabel->setContentsMargins(10, 0, 0, 0);
  statusBar()->addWidget(m_savedLabel, 1);
  m_problemsButton = new QToolButton;
  m_problemsButton->setAutoRaise(true);
  m_problemsButton->setFocusPolicy(Qt::TabFocus);
  m_problemsButton->setToolTip(tr("Show problems (Alt+1); F8 goes to the next one"));
  connect(m_problemsButton, &QToolButton::clicked, m_problemsAction, &QAction::toggle);
  statusBar()->addPermanentWidget(m_problemsButton);
  const auto show = [this](int errors, int warnings) {
    const QString text = errors > 0 ? tr("■ errors: %1, warnings: %2").arg(errors).arg(warnings)
                         : warnings > 0 ? tr("▲ warnings: %1").arg(warnings)
                                        : tr("✓ no problems");
    m_problemsButton->setText(text);
    m_problemsButton->setAccessibleName(tr("Problems: %1").arg(text));
  };
  connect(m_problems, &ProblemsPanel::countChanged, this, show);
  show(m_problems->model().count(Severity::error), m_problems->model().count(Severity::warning));
}

QStringList MainWindow::pageNames() {
  return {QStringLiteral("start"), QStringLiteral("design"), QStringLiteral("launch"),
          QStringLiteral("monitor")};
}

MainWindow::Entry* MainWindow::entry(const QString& name) {
  for (Entry& one : m_pages) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

Page* MainWindow::showPage(const QString& name) {
  Entry* wanted = entry(name);
  if (wanted == nullptr) return nullptr;
  if (wanted->page == nullptr) {
    wanted->page = wanted->make();
    m_stack->addWidget(wanted->page);
    connect(wanted->page, &Page::pageRequested, this, &MainWindow::showPage);
  }
  Page* before = currentPage();
  if (before != wanted->page && before != nullptr) before->setInView(false);
  m_stack->setCurrentWidget(wanted->page);
  const int row = static_cast<int>(wanted - m_pages.data());
  const QSignalBlocker quiet(m_rail);
  m_rail->setCurrentRow(row);
  showDocks();
  showTitle();
  wanted->page->setInView(true);
  return wanted->page;
}

Page* MainWindow::currentPage() const {
  return qobject_cast<Page*>(m_stack->currentWidget());
}

QString MainWindow::currentPageName() const {
  for (const Entry& one : m_pages) {
    if (one.page != nullptr && one.page == m_stack->currentWidget()) return one.name;
  }
  return {};
}

// Strip and docks belong to the pages where a spec is edited or launched.
void MainWindow::showDocks() {
  const QString page = currentPageName();
  const bool specPage = m_session.hasProject() &&
                        (page == QLatin1String("design") || page == QLatin1String("launch"));
  m_stripHost->setVisible(specPage);
  if (m_problemsAction == nullptr) return;
  m_problemsDock->setVisible(specPage && m_problemsAction->isChecked());
  m_explainDock->setVisible(specPage && m_explainAction->isChecked());
  m_yamlDock->setVisible(specPage && m_yamlAction->isChecked());
  if (m_problemsButton != nullptr) m_problemsButton->setVisible(specPage);
}

void MainWindow::showTitle() {
  QStringList parts;
  const bool monitor = currentPageName() == QLatin1String("monitor");
  if (monitor && !m_runLine.isEmpty()) {
    parts << m_runLine;
  } else if (m_session.hasProject()) {
    parts << m_session.title() + (m_session.isDirty() ? QStringLiteral(" •") : QString());
  }
  parts << tr("TeraGPT Workbench");
  setWindowTitle(parts.join(QStringLiteral(" — ")));
  if (m_savedLabel == nullptr) return;
  m_savedLabel->setText(
      !m_session.hasProject()          ? tr("Ctrl+K finds commands and fields")
      : m_session.filePath().isEmpty() ? tr("%1 — Ctrl+S saves it").arg(m_session.title())
      : m_session.isDirty()            ? tr("%1 — edited, journal on").arg(m_session.filePath())
                                       : tr("%1 — saved").arg(m_session.filePath()));
}

void MainWindow::showEstimate() {
  if (const plan::Estimate* estimate = m_session.estimate())
    m_strip->setTiles(estimateTiles(*estimate, m_session.baseline(), m_session.document().spec()));
  m_strip->setStale(m_session.estimate() == nullptr || !m_session.document().isGood());
  showTitle();
}

void MainWindow::goToField(const std::string& path, int line) {
  auto* design = static_cast<DesignPage*>(showPage(QStringLiteral("design")));
  if (design->focusField(path)) return;
  if (line > 0) {
    m_yamlAction->setChecked(true);
    m_yaml->goToLine(line);
  }
}

Result<void> MainWindow::openArgument(const QString& argument) {
  const QFileInfo info(argument);
  if (info.isFile()) {
    TERA_TRY_VOID(m_session.openFile(argument));
    showPage(QStringLiteral("design"));
    return {};
  }
  const std::string where = info.isDir() ? ss(info.absoluteFilePath()) : ss(argument);
  TERA_TRY(const run::RunDirectory dir, run::RunDirectory::open(posix_vfs(), where));
  m_session.attachRun(qs(dir.path().string()));
  showPage(QStringLiteral("monitor"));
  return {};
}

void MainWindow::say(const QString& message, bool isProblem) {
  auto* design = static_cast<DesignPage*>(showPage(QStringLiteral("design")));
  design->banner()->show(message, isProblem);
}

void MainWindow::runIt() {
  auto* page = static_cast<LaunchPage*>(showPage(QStringLiteral("launch")));
  page->launchIfGreen();
}

void MainWindow::runStarted(const QString& path) {
  m_session.attachRun(path);
  showPage(QStringLiteral("monitor"));
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
          {fieldLabel(info.field.name),
           QStringLiteral("%1 = %2").arg(qs(info.path), value ? qs(*value) : QString()),
           QLatin1Char(':'), [this, path = info.path](const QString& argument) {
             goToField(path, 0);
             if (argument.isEmpty()) return;
             if (const Result<void> set = m_session.document().setField(path, ss(argument)); !set)
               say(qs(set.error().message), true);
           }});
    }
  }
  auto* palette = new CommandPalette(std::move(entries), this);
  palette->move(mapToGlobal(QPoint((width() - palette->width()) / 2, 70)));
  palette->open();
  return palette;
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

void MainWindow::restoreLayout() {
  const QByteArray geometry = m_session.settings().geometry();
  if (geometry.isEmpty() || !restoreGeometry(geometry)) resize(1366, 768);
}

void MainWindow::resizeEvent(QResizeEvent* event) {
  QMainWindow::resizeEvent(event);
  const bool wide = width() >= kWideRail;
  m_rail->setFixedWidth(wide ? 128 : 48);
  for (int i = 0; i < m_rail->count(); ++i)
    m_rail->item(i)->setText(wide ? m_pages[static_cast<std::size_t>(i)].title : QString());
}

}  // namespace tera::gui
