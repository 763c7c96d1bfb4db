#include "gui/pages/design_page.h"

#include <algorithm>

#include <QApplication>
#include <QEvent>
#include <QHeaderView>
#include <QLabel>
#include <QMenu>
#include <QPushButton>
#include <QSplitter>
#include <QStackedLayout>
#include <QTabWidget>

#include "core/base/units.h"
#include "core/spec/presets.h"
#include "gui/icons.h"
#include "gui/session.h"
#include "gui/text.h"
#include "gui/theme.h"
#include "gui/widgets/card.h"

namespace tera::gui {

std::vector<FormSection> modelSections() {
  return {
      {DesignPage::tr("Size"),
       {"model.num_layers", "model.hidden_size", "model.num_attention_heads",
        "model.num_key_value_heads", "model.head_dim", "model.ffn_hidden_size",
        "model.vocab_size"}},
      {DesignPage::tr("Experts"),
       {"model.num_experts", "model.router_top_k", "model.moe_ffn_hidden_size",
        "model.num_shared_experts", "model.num_dense_layers"}},
      {DesignPage::tr("Router"),
       {"model.router_score", "model.router_renormalize", "model.routed_scaling_factor",
        "model.aux_loss_coeff", "model.z_loss_coeff", "model.expert_bias_update_rate"},
       false},
      {DesignPage::tr("Attention"),
       {"model.attention", "model.position", "model.rope_theta", "model.max_position_embeddings",
        "model.qk_norm", "model.q_lora_rank", "model.kv_lora_rank", "model.qk_nope_head_dim",
        "model.qk_rope_head_dim", "model.v_head_dim"},
       false},
      {DesignPage::tr("More"), {"model.*"}, false}};
}

std::vector<FormSection> trainingSections() {
  return {
      {DesignPage::tr("Run"),
       {"name", "seed", "training.num_steps", "training.global_batch_size", "training.seq_length"}},
      {DesignPage::tr("Learning rate"),
       {"training.learning_rate", "training.min_learning_rate", "training.lr_schedule",
        "training.warmup_steps", "training.decay_steps"}},
      {DesignPage::tr("Saving and evaluation"),
       {"training.eval_interval", "training.eval_sequences", "training.checkpoint_interval",
        "training.keep_checkpoints"},
       false},
      {DesignPage::tr("More"), {"training.*", "data.*", "launch.*"}, false}};
}

std::vector<FormSection> layoutSections() {
  return {
      {DesignPage::tr("Degrees"),
       {"layout.tensor_parallel_size", "layout.pipeline_parallel_size", "layout.data_parallel_size",
        "layout.expert_parallel_size", "layout.context_parallel_size"}},
      {DesignPage::tr("Batch and memory"),
       {"layout.micro_batch_size", "layout.zero_stage", "layout.recompute", "layout.schedule",
        "layout.virtual_stages"}},
      {DesignPage::tr("More"), {"layout.*"}, false},
      {DesignPage::tr("Cluster"), {"cluster.num_nodes", "cluster.devices_per_node"}},
      {DesignPage::tr("Device and links"), {"cluster.*"}, false}};
}

DesignPage::DesignPage(Session& session, QWidget* parent) : Page(parent), m_session(session) {
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(0, 0, 0, 0);
  outer->setSpacing(0);
  m_banner = new Banner;
  outer->addWidget(m_banner);
  m_stack = new QStackedLayout;
  outer->addLayout(m_stack, 1);

  auto* split = new QSplitter(Qt::Horizontal);
  split->setChildrenCollapsible(false);
  split->setHandleWidth(8);
  split->addWidget(makeForms());
  auto* right = new QSplitter(Qt::Vertical);
  right->setChildrenCollapsible(false);
  right->setHandleWidth(8);
  auto* top = new QSplitter(Qt::Horizontal);
  top->setChildrenCollapsible(false);
  top->setHandleWidth(8);
  auto* diagram = new Card(tr("Blocks"));
  m_diagram = new BlockDiagram;
  diagram->body()->addWidget(m_diagram, 1);
  top->addWidget(diagram);
  top->addWidget(makeParameters());
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
  connect(&session.document(), &Document::diagnosticsChanged, this, &DesignPage::showProblem);
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
  card->setMinimumWidth(300);
  auto* presets = new QPushButton(tr("Presets"));
  presets->setAutoDefault(true);
  presets->setToolTip(tr("Replace the model or the cluster by one of resources"));
  auto* menu = new QMenu(presets);
  presets->setMenu(menu);
  connect(menu, &QMenu::aboutToShow, this, [this, menu] { fillPresetMenu(menu); });
  card->header()->addWidget(presets);
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

QWidget* DesignPage::makeParameters() {
  auto* card = new Card(tr("Parameters"));
  card->setMinimumWidth(292);
  m_totals = new QLabel;
  m_totals->setWordWrap(true);
  card->body()->addWidget(m_totals);
  m_partsBar = new PartsBar(tr("Share of the parameters"));
  card->body()->addWidget(m_partsBar);
  QTableView* table = makeTable(&m_params, tr("Parameters by part"));
  table->horizontalHeader()->hide();
  table->horizontalHeader()->setStretchLastSection(false);
  table->horizontalHeader()->setSectionResizeMode(ParamModel::PartColumn, QHeaderView::Stretch);
  table->horizontalHeader()->setSectionResizeMode(ParamModel::CountColumn,
                                                  QHeaderView::ResizeToContents);
  table->horizontalHeader()->setSectionResizeMode(ParamModel::ShareColumn,
                                                  QHeaderView::ResizeToContents);
  table->setIconSize({11, 11});
  card->body()->addWidget(table, 1);
  m_timeText = new ToneLabel({}, ToneLabel::Normal);
  m_timeText->setWordWrap(true);
  card->body()->addWidget(m_timeText);
  m_timeBar = new PartsBar(tr("Share of the step time"));
  card->body()->addWidget(m_timeBar);
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
  m_diagram->setModel(m_session.document().spec().model);
}

void DesignPage::showProblem() {
  const Document& document = m_session.document();
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
  const plan::Estimate* estimate = m_session.estimate();
  m_memory->setEstimate(estimate);
  if (estimate == nullptr) {
    m_totals->setText(m_session.hasProject() ? m_session.estimateProblem() : QString());
    return;
  }
  m_params.setCounts(estimate->params);
  m_totals->setText(tr("<b>%1</b> in total, <b>%2</b> active per token<br>%3 to train one token")
                        .arg(qs(format_count(static_cast<double>(estimate->params.total))),
                             qs(format_count(static_cast<double>(estimate->params.active))),
                             qs(format_quantity(estimate->train_flops_per_token, "flop"))));
  showParts();
}

void DesignPage::showParts() {
  m_params.setColors(theme().series);
  std::vector<BarPart> parts;
  for (const ParamPart& part : m_params.rows())
    parts.push_back({part.name, qs(format_count(part.count)), part.count,
                     theme().seriesColor(part.colorIndex)});
  m_partsBar->setParts(std::move(parts));
  const plan::Estimate* estimate = m_session.estimate();
  if (estimate == nullptr) return;
  std::vector<BarPart> times;
  QStringList words;
  for (const plan::Term& term : estimate->step_time.children) {
    if (term.value <= 0) continue;
    times.push_back({qs(term.label), qs(format_seconds(term.value)), term.value,
                     theme().seriesColor(static_cast<int>(times.size()))});
    // A number stays with its unit when the line wraps.
    const QString seconds =
        qs(format_seconds(term.value)).replace(QLatin1Char(' '), QChar(QChar::Nbsp));
    words << QStringLiteral("%1 %2").arg(qs(term.label), seconds);
  }
  m_timeText->setText(
      tr("Step %1: %2")
          .arg(qs(format_seconds(estimate->step_s)), words.join(QStringLiteral(", "))));
  m_timeBar->setParts(std::move(times));
}

void DesignPage::changeEvent(QEvent* event) {
  if (event->type() == QEvent::ApplicationPaletteChange) showParts();
  Page::changeEvent(event);
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
