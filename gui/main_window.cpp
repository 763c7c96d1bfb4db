#include "gui/main_window.h"

#include <QAction>
#include <QDockWidget>
#include <QListWidget>
#include <QScrollArea>
#include <QSplitter>
#include <QStackedWidget>
#include <QStatusBar>
#include <QToolButton>
#include <QVBoxLayout>

#include "gui/icons.h"
#include "gui/pages/design_page.h"
#include "gui/pages/launch_page.h"
#include "gui/pages/monitor_page.h"
#include "gui/pages/start_page.h"
#include "gui/widgets/banner.h"
#include "gui/widgets/card.h"
#include "gui/widgets/docks.h"
#include "gui/widgets/estimate_strip.h"
#include "gui/widgets/yaml_editor.h"

namespace tera::gui {
namespace {
constexpr int kSaveLayoutMs = 1000;  // from a change to the settings
}

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
  m_banner = new Banner;
  column->addWidget(m_banner);
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
  connect(&session, &Session::opening, m_banner, &QWidget::hide);
  connect(&session, &Session::notice, this,
          [this](const QString& message, bool isProblem) { m_banner->show(message, isProblem); });
  connect(&session, &Session::recovered, this, [this] {
    m_banner->show(tr("Edits that were not saved last time are back. Undo (Ctrl+Z) returns to the "
                      "saved file."),
                   false);
  });
  connect(&session.feed(), &RunFeed::updated, this,
          [this] { m_stopAction->setEnabled(m_session.runIsAlive()); });
  m_saveLayout.setSingleShot(true);
  m_saveLayout.setInterval(kSaveLayoutMs);
  connect(&m_saveLayout, &QTimer::timeout, this, &MainWindow::saveLayout);
  m_madeDocks = saveState(kStateVersion);
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
         connect(page, &StartPage::fileRequested, this, &MainWindow::open);
         connect(page, &StartPage::templateRequested, this, &MainWindow::newFromTemplate);
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
    connect(made, &QDockWidget::dockLocationChanged, this, &MainWindow::layoutChanged);
    connect(made, &QDockWidget::topLevelChanged, this, &MainWindow::layoutChanged);
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
  m_savedLabel = new ElidedLabel({}, ToneLabel::Normal);
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

void MainWindow::buildPage(Entry& entry) {
  entry.page = entry.make();
  entry.frame = new QScrollArea;
  entry.frame->setWidgetResizable(true);
  entry.frame->setFrameShape(QFrame::NoFrame);
  entry.frame->setFocusPolicy(Qt::NoFocus);
  entry.frame->setWidget(entry.page);
  m_stack->addWidget(entry.frame);
  connect(entry.page, &Page::pageRequested, this, &MainWindow::showPage);
  const QMap<QString, QByteArray> last = m_session.isOnlyLooking()
                                             ? QMap<QString, QByteArray>()
                                             : m_session.settings().layout().splitters;
  for (QSplitter* splitter : entry.page->findChildren<QSplitter*>()) {
    if (splitter->objectName().isEmpty()) continue;
    entry.made.insert(splitter->objectName(), splitter->saveState());
    splitter->restoreState(last.value(entry.name + QLatin1Char('/') + splitter->objectName()));
    connect(splitter, &QSplitter::splitterMoved, this, &MainWindow::layoutChanged);
  }
}

Page* MainWindow::showPage(const QString& name) {
  Entry* wanted = entry(name);
  if (wanted == nullptr) return nullptr;
  if (wanted->page == nullptr) buildPage(*wanted);
  Page* before = currentPage();
  if (before != wanted->page && before != nullptr) before->setInView(false);
  m_stack->setCurrentWidget(wanted->frame);
  const int row = static_cast<int>(wanted - m_pages.data());
  const QSignalBlocker quiet(m_rail);
  m_rail->setCurrentRow(row);
  showDocks();
  showTitle();
  wanted->page->setInView(true);
  if (name == QLatin1String("design")) goToBrokenLine();
  layoutChanged();
  return wanted->page;
}

Page* MainWindow::currentPage() const {
  const auto* frame = qobject_cast<QScrollArea*>(m_stack->currentWidget());
  return frame != nullptr ? qobject_cast<Page*>(frame->widget()) : nullptr;
}

QString MainWindow::currentPageName() const {
  for (const Entry& one : m_pages) {
    if (one.frame != nullptr && one.frame == m_stack->currentWidget()) return one.name;
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
  const Document& document = m_session.document();
  if (const plan::Estimate* estimate = m_session.estimate()) {
    m_strip->setTiles(estimateTiles(*estimate, m_session.baseline(), document.spec()));
  } else if (!document.wasGood() || m_strip->tiles().empty()) {
    m_strip->setTiles(unknownTiles());
  }
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

// A text that never could be read has no form yet: the YAML pane is where it is mended.
void MainWindow::goToBrokenLine() {
  const Document& document = m_session.document();
  if (!m_session.hasProject() || document.wasGood()) return;
  m_yamlAction->setChecked(true);
  if (const int line = m_yaml->markedLine(Severity::error); line > 0) m_yaml->goToLine(line);
}

void MainWindow::runIt() {
  auto* page = static_cast<LaunchPage*>(showPage(QStringLiteral("launch")));
  page->launchIfGreen();
}

void MainWindow::runStarted(const QString& path) {
  m_session.attachRun(path);
  showPage(QStringLiteral("monitor"));
}

}  // namespace tera::gui
