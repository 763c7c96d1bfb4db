#include "gui/pages/design_page.h"

#include <algorithm>

#include <QApplication>
#include <QMenu>
#include <QPushButton>
#include <QSplitter>
#include <QStackedLayout>
#include <QTabBar>
#include <QTabWidget>

#include "core/spec/presets.h"
#include "gui/icons.h"
#include "gui/pages/design_sections.h"
#include "gui/session.h"
#include "gui/text.h"
#include "gui/widgets/card.h"

namespace tera::gui {

DesignPage::DesignPage(Session& session, QWidget* parent) : Page(parent), m_session(session) {
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  outer->setSpacing(0);
  m_banner = new Banner;
  outer->addWidget(m_banner);
  m_stack = new QStackedLayout;
  outer->addLayout(m_stack, 1);

  QSplitter* split = makeSplitter(Qt::Horizontal, "columns");
  split->addWidget(makeForms());
  QSplitter* right = makeSplitter(Qt::Vertical, "rows");
  QSplitter* top = makeSplitter(Qt::Horizontal, "model");
  auto* diagram = new Card(tr("Blocks"));
  m_diagram = new BlockDiagram;
  diagram->body()->addWidget(m_diagram, 1);
  top->addWidget(diagram);
  m_parameters = new ParameterCard;
  top->addWidget(m_parameters);
  top->setSizes({520, 330});
  auto* memory = new Card(tr("Memory per device, by pipeline stage"));
  m_memory = new MemoryBar;
  memory->body()->addWidget(m_memory, 1);
  right->addWidget(top);
  right->addWidget(memory);
  right->setSizes({370, 210});
  split->addWidget(right);
  split->setSizes({330, 850});
  split->setStretchFactor(1, 1);
  auto* content = new QWidget;
  auto* margin = new QVBoxLayout(content);
  margin->setContentsMargins(12, 6, 12, 10);
  margin->addWidget(split);
  m_stack->addWidget(content);
  m_stack->addWidget(makeEmpty());

  connect(m_diagram, &BlockDiagram::fieldRequested, this, &DesignPage::focusField);
  connect(m_memory, &MemoryBar::stageClicked, this, [this] { emit termRequested(tr("memory")); });
  connect(&session, &Session::projectChanged, this, &DesignPage::showProject);
  connect(&session, &Session::estimateChanged, this, &DesignPage::showEstimate);
  connect(&session.document(), &Document::specChanged, this, &DesignPage::showSpec);
  connect(&session.document(), &Document::diagnosticsChanged, this, [this] {
    showProblem();
    if (!m_session.document().wasGood()) showSpec();
  });
  showProject();
  showSpec();
  showEstimate();
  showProblem();  // the page may be made after the text was read
}

QWidget* DesignPage::makeEmpty() {
  auto* empty = new QWidget;
  auto* layout = new QVBoxLayout(empty);
  layout->setAlignment(Qt::AlignCenter);
  auto* words = new ToneLabel(
      tr("No project is open. Start from a template, open a file, or try the bundled project."));
  words->setAlignment(Qt::AlignCenter);
  auto* start = new QPushButton(themedIcon("start"), tr("Go to Start"));
  start->setAutoDefault(true);
  layout->addWidget(words);
  layout->addWidget(start, 0, Qt::AlignCenter);
  connect(start, &QPushButton::clicked, this,
          [this] { emit pageRequested(QStringLiteral("start")); });
  return empty;
}

QWidget* DesignPage::makeForms() {
  auto* card = new Card(tr("Spec"));
  m_presets = new QPushButton(tr("Presets"));
  m_presets->setObjectName(QStringLiteral("presets"));
  m_presets->setAutoDefault(true);
  m_presets->setToolTip(tr("Replace the model or the cluster by one of resources"));
  auto* menu = new QMenu(m_presets);
  m_presets->setMenu(menu);
  connect(menu, &QMenu::aboutToShow, this, [this, menu] { fillPresetMenu(menu); });
  card->header()->addWidget(m_presets);
  m_tabs = new QTabWidget;
  m_tabs->setDocumentMode(true);
  m_tabs->setAccessibleName(tr("Groups of fields"));
  m_tabs->tabBar()->setAccessibleName(tr("Groups of fields"));
  Document& document = m_session.document();
  m_forms = {new FieldForm(document, modelSections()), new FieldForm(document, trainingSections()),
             new FieldForm(document, layoutSections())};
  const QStringList titles{tr("&Model"), tr("&Training"), tr("&Layout")};
  for (qsizetype i = 0; i < titles.size(); ++i)
    m_tabs->addTab(m_forms[static_cast<std::size_t>(i)], titles[i]);
  card->body()->addWidget(m_tabs, 1);
  return card;
}

void DesignPage::fillPresetMenu(QMenu* menu) {
  menu->clear();
  menu->addSection(tr("Model"));
  if (const Result<std::vector<std::string>> names = spec::model_preset_names()) {
    for (const std::string& name : *names) {
      menu->addAction(qs(name), this,
                      [this, name] { m_session.document().applyModelPreset(qs(name)); });
    }
  }
  menu->addSection(tr("Cluster"));
  if (const Result<std::vector<std::string>> names = spec::cluster_preset_names()) {
    for (const std::string& name : *names)
      menu->addAction(qs(name), this,
                      [this, name] { m_session.document().applyClusterPreset(qs(name)); });
  }
}

void DesignPage::showProject() {
  m_stack->setCurrentIndex(m_session.hasProject() ? 0 : 1);
}

void DesignPage::showSpec() {
  const Document& document = m_session.document();
  m_diagram->setModel(document.wasGood() ? &document.spec().model : nullptr);
}

void DesignPage::showProblem() {
  const Document& document = m_session.document();
  m_presets->setEnabled(document.isGood());
  const auto first =
      std::find_if(document.diagnostics().begin(), document.diagnostics().end(),
                   [](const Diagnostic& d) { return d.severity == Severity::error; });
  if (document.isGood() || first == document.diagnostics().end()) {
    if (m_bannerIsProblem) m_banner->hide();
    m_bannerIsProblem = false;
    return;
  }
  const std::string what =
      first->field.empty() ? first->message : first->field + ": " + first->message;
  const QString form = document.wasGood() ? tr("The form shows the last good version.")
                                          : tr("The form shows the file when it can be read.");
  m_bannerIsProblem = true;
  m_banner->show(tr("YAML line %1: %2. %3").arg(first->line).arg(qs(what), form), true,
                 tr("Go to line"), [this, line = first->line] { emit yamlRequested(line); });
}

void DesignPage::showEstimate() {
  m_memory->setEstimate(m_session.estimate());
  m_parameters->setEstimate(m_session.estimate(), m_session.estimateProblem());
}

FieldForm* DesignPage::form(const std::string& path) const {
  for (FieldForm* form : m_forms) {
    if (form->editor(path) != nullptr) return form;
  }
  return nullptr;
}

bool DesignPage::focusField(const std::string& path) {
  FieldForm* found = form(path);
  if (found == nullptr) return false;
  m_tabs->setCurrentWidget(found);
  return found->focusField(path);
}

void DesignPage::setInView(bool inView) {
  if (inView && m_session.hasProject() && !isAncestorOf(QApplication::focusWidget()))
    focusField("model.num_experts");  // the one edit that shows what a Mixture of Experts is
}

bool DesignPage::isReady() const {
  return !m_session.hasProject() ||
         (!m_session.estimateBusy() &&
          (m_session.estimate() != nullptr || !m_session.estimateProblem().isEmpty()));
}

}  // namespace tera::gui
