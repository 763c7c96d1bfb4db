#include "gui/pages/start_page.h"

#include <QFileInfo>
#include <QGridLayout>
#include <QHeaderView>
#include <QLabel>
#include <QProgressBar>
#include <QPushButton>

#include "core/base/vfs.h"
#include "gui/icons.h"
#include "gui/session.h"
#include "gui/text.h"
#include "gui/widgets/card.h"
#include "gui/widgets/read_table.h"
#include "gui/widgets/template_list.h"

namespace tera::gui {
namespace {

constexpr int kPollMs = 2000;

run::RunList readRuns() {
  const std::filesystem::path root = run::default_runs_root();
  Result<run::RunList> list = run::list_runs(posix_vfs(), root);
  if (list) return std::move(list).value();
  run::RunList empty;
  std::error_code problem;
  if (std::filesystem::exists(root, problem)) empty.problems.push_back(list.error().message);
  return empty;
}

}  // namespace

StartPage::StartPage(Session& session, QWidget* parent)
    : Page(parent), m_session(session), m_runsJob([this](run::RunList& list) {
        m_runsKnown = true;
        m_runs.setRows(std::move(list.runs));
        m_noRuns->setText(
            list.problems.empty()
                ? tr("No run yet. A run started here appears in this list, also after a restart.")
                : qs(list.problems.front()));
        m_noRuns->setVisible(m_runs.rowCount() == 0 || !list.problems.empty());
        m_runTable->setVisible(m_runs.rowCount() > 0);
      }) {
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  m_banner = new Banner;
  outer->addWidget(m_banner);
  auto* grid = new QGridLayout;
  grid->setContentsMargins(28, 22, 28, 22);
  grid->setHorizontalSpacing(14);
  grid->setVerticalSpacing(14);
  grid->addWidget(makeHeader(), 0, 0, 1, 2);
  grid->addWidget(makeTryCard(), 1, 0);
  grid->addWidget(makeTemplates(), 2, 0);
  grid->addWidget(makeRecent(), 1, 1);
  grid->addWidget(makeRuns(), 2, 1);
  grid->setColumnStretch(0, 5);
  grid->setColumnStretch(1, 6);
  grid->setRowStretch(2, 1);
  outer->addLayout(grid, 1);

  connect(&m_demo, &DemoProject::progress, m_progress, &QLabel::setText);
  connect(&m_demo, &DemoProject::ready, this, [this](const QString& path) {
    setTrying(false);
    emit fileRequested(path);
  });
  connect(&m_demo, &DemoProject::failed, this, [this](const QString& message, const QString& hint) {
    setTrying(false);
    m_banner->show(message + (hint.isEmpty() ? QString() : QStringLiteral("\n") + hint), true,
                   tr("Try again"), [this] { tryIt(); });
  });
  connect(&m_demo, &DemoProject::cancelled, this, [this] { setTrying(false); });
  connect(&session.settings(), &Settings::recentFilesChanged, this, &StartPage::showRecent);
  connect(&m_poll, &QTimer::timeout, this, [this] {
    if (!m_runsJob.busy()) m_runsJob.start(readRuns);
  });
  m_poll.setInterval(kPollMs);
  m_runsJob.start(readRuns);
  showRecent();
  setFocusProxy(m_try);
}

QWidget* StartPage::makeHeader() {
  auto* header = new QWidget;
  auto* row = new QHBoxLayout(header);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(14);
  auto* icon = new QLabel;
  icon->setPixmap(QIcon(QStringLiteral(":/icons/org.teragpt.Workbench.svg")).pixmap(52, 52));
  auto* words = new QVBoxLayout;
  words->setSpacing(0);
  auto* title = new QLabel(tr("TeraGPT Workbench"));
  title->setFont(scaledFont(*this, 1.7, QFont::DemiBold));
  words->addWidget(title);
  words->addWidget(
      new ToneLabel(tr("Design, plan, train and watch Mixture-of-Experts language models")));
  row->addWidget(icon);
  row->addLayout(words, 1);
  return header;
}

QWidget* StartPage::makeTryCard() {
  auto* card = new Card(tr("Start here"));
  auto* words = new ToneLabel(
      tr("A small Mixture-of-Experts model, trained on text that is already on this computer. "
         "No network, no account, no GPU; a few minutes."),
      ToneLabel::Normal);
  words->setWordWrap(true);
  card->body()->addWidget(words);
  m_try = new QPushButton(themedIcon("run"), tr("Try it on this computer"));
  m_try->setAutoDefault(true);
  m_try->setDefault(true);
  m_try->setFont(scaledFont(*this, 1.15, QFont::DemiBold));
  m_try->setMinimumHeight(42);
  m_try->setToolTip(tr("Prepares text, tokenizer and spec once, then opens the project (Enter)"));
  m_cancel = new QPushButton(tr("Cancel"));
  m_cancel->setAutoDefault(true);
  m_cancel->hide();
  auto* row = new QHBoxLayout;
  row->addWidget(m_try, 1);
  row->addWidget(m_cancel);
  card->body()->addLayout(row);
  m_busy = new QProgressBar;
  m_busy->setRange(0, 0);
  m_busy->setTextVisible(false);
  m_busy->setMaximumHeight(6);
  m_busy->setAccessibleName(tr("Preparing the project"));
  m_busy->hide();
  m_progress = new ElidedLabel;
  m_progress->setAccessibleName(tr("Progress"));
  card->body()->addWidget(m_busy);
  card->body()->addWidget(m_progress);
  card->body()->addStretch(1);
  connect(m_try, &QPushButton::clicked, this, &StartPage::tryIt);
  connect(m_cancel, &QPushButton::clicked, &m_demo, &DemoProject::cancel);
  return card;
}

QWidget* StartPage::makeTemplates() {
  auto* card = new Card(tr("New from template"));
  m_templates = new TemplateList;
  card->body()->addWidget(m_templates, 1);
  connect(m_templates, &TemplateList::failed, this,
          [this](const QString& message) { m_banner->show(message, true); });
  connect(m_templates, &TemplateList::chosen, this, &StartPage::templateRequested);
  return card;
}

QWidget* StartPage::makeRecent() {
  auto* card = new Card(tr("Recent projects"));
  auto* open = new QPushButton(themedIcon("open"), tr("Open…"));
  open->setAutoDefault(true);
  open->setToolTip(tr("Open a project or a run (Ctrl+O)"));
  card->header()->addWidget(open);
  m_recent = new QListWidget;
  m_recent->setFrameShape(QFrame::NoFrame);
  m_recent->setAccessibleName(tr("Recent projects"));
  m_recent->setMaximumHeight(132);
  m_recent->setTextElideMode(Qt::ElideMiddle);
  m_recent->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  clearBase(*m_recent);
  card->body()->addWidget(m_recent);
  connect(open, &QPushButton::clicked, this, &StartPage::openRequested);
  connect(m_recent, &QListWidget::itemActivated, this, [this](QListWidgetItem* item) {
    const QString path = item->data(Qt::UserRole).toString();
    if (path.isEmpty()) return;
    if (!QFileInfo::exists(path)) {
      m_banner->show(tr("%1 is not there any more.").arg(path), true, tr("Forget it"),
                     [this, path] { m_session.settings().removeRecentFile(path); });
      return;
    }
    emit fileRequested(path);
  });
  return card;
}

QWidget* StartPage::makeRuns() {
  auto* card = new Card(tr("Runs on this computer"));
  m_noRuns = new ToneLabel(tr("Looking for runs…"));
  m_noRuns->setWordWrap(true);
  card->body()->addWidget(m_noRuns);
  m_runTable = new ReadTable(&m_runs, tr("Runs on this computer"));
  for (int column = 0; column < RunListModel::DetailColumn; ++column)
    m_runTable->horizontalHeader()->setSectionResizeMode(column, QHeaderView::ResizeToContents);
  m_runTable->hide();
  card->body()->addWidget(m_runTable, 1);
  card->body()->addStretch(0);
  connect(m_runTable, &QTableView::activated, this, &StartPage::openRun);
  return card;
}

void StartPage::openRun(const QModelIndex& index) {
  if (!index.isValid()) return;
  m_session.attachRun(m_runs.data(index, RunListModel::PathRole).toString());
  emit pageRequested(QStringLiteral("monitor"));
}

void StartPage::tryIt() {
  if (m_session.teragptProgram().isEmpty()) {
    m_banner->show(tr("The teragpt command is neither beside this program nor on PATH. Install it, "
                      "then try again."),
                   true);
    return;
  }
  setTrying(true);
  m_demo.prepare(m_session.teragptProgram(), DemoProject::defaultFolder());
}

void StartPage::setTrying(bool on) {
  m_try->setEnabled(!on);
  m_cancel->setVisible(on);
  m_busy->setVisible(on);
  m_progress->setText(on ? tr("Preparing text, tokenizer and spec…") : QString());
  on ? m_cancel->setFocus() : m_try->setFocus();
}

void StartPage::showRecent() {
  m_recent->clear();
  for (const QString& path : m_session.settings().recentFiles()) {
    const QFileInfo info(path);
    const QString missing = info.exists() ? QString() : tr("  — file missing");
    auto* item = new QListWidgetItem(
        QStringLiteral("%1   %2%3").arg(info.completeBaseName(), info.absolutePath(), missing));
    item->setData(Qt::UserRole, path);
    item->setToolTip(path);
    m_recent->addItem(item);
  }
  if (m_recent->count() == 0) {
    auto* none = new QListWidgetItem(tr("Projects you open appear here."));
    none->setFlags(Qt::NoItemFlags);
    m_recent->addItem(none);
  }
}

bool StartPage::isReady() const {
  return m_runsKnown && m_templates->isReady();
}

void StartPage::setInView(bool inView) {
  if (inView) {
    m_poll.start();
    m_runsJob.start(readRuns);
    m_try->setFocus();
  } else {
    m_poll.stop();
  }
}

}  // namespace tera::gui
