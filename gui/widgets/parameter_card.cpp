#include "gui/widgets/parameter_card.h"

#include <QEvent>
#include <QHeaderView>

#include "core/base/units.h"
#include "gui/text.h"
#include "gui/theme.h"
#include "gui/widgets/read_table.h"

namespace tera::gui {
namespace {

// A number stays with its unit when the line wraps.
QString unbroken(const std::string& quantity) {
  return qs(quantity).replace(QLatin1Char(' '), QChar(QChar::Nbsp));
}

}  // namespace

ParameterCard::ParameterCard(QWidget* parent) : Card(tr("Parameters"), parent) {
  setMinimumWidth(292);
  m_totals = new ToneLabel({}, ToneLabel::Normal);
  m_totals->setWordWrap(true);
  body()->addWidget(m_totals);
  m_partsBar = new PartsBar(tr("Share of the parameters"));
  body()->addWidget(m_partsBar);
  auto* table = new ReadTable(&m_params, tr("Parameters by part"));
  QHeaderView* header = table->horizontalHeader();
  header->hide();
  header->setStretchLastSection(false);
  header->setSectionResizeMode(ParamModel::PartColumn, QHeaderView::Stretch);
  for (const int column : {ParamModel::CountColumn, ParamModel::ShareColumn})
    header->setSectionResizeMode(column, QHeaderView::ResizeToContents);
  table->setIconSize({11, 11});
  body()->addWidget(table, 1);
  m_timeText = new ToneLabel({}, ToneLabel::Normal);
  m_timeText->setWordWrap(true);
  body()->addWidget(m_timeText);
  m_timeBar = new PartsBar(tr("Share of the step time"));
  body()->addWidget(m_timeBar);
}

void ParameterCard::setEstimate(const plan::Estimate* estimate, const QString& problem) {
  if (estimate == nullptr) {
    m_params.setRows({});
    m_times.clear();
    m_totals->setText(problem);
    m_timeText->clear();
    showBars();
    return;
  }
  m_params.setCounts(estimate->params);
  m_times = estimate->step_time.children;
  std::erase_if(m_times, [](const plan::Term& term) { return term.value <= 0; });
  m_totals->setText(tr("<b>%1</b> in total, <b>%2</b> active per token<br>%3 to train one token")
                        .arg(qs(format_count(static_cast<double>(estimate->params.total))),
                             qs(format_count(static_cast<double>(estimate->params.active))),
                             qs(format_quantity(estimate->train_flops_per_token, "flop"))));
  QStringList words;
  for (const plan::Term& term : m_times)
    words << QStringLiteral("%1 %2").arg(qs(term.label), unbroken(format_seconds(term.value)));
  m_timeText->setText(
      tr("Step %1: %2")
          .arg(unbroken(format_seconds(estimate->step_s)), words.join(QStringLiteral(", "))));
  showBars();
}

void ParameterCard::showBars() {
  m_params.setColors(theme().series);
  std::vector<BarPart> parts, times;
  for (const ParamPart& part : m_params.rows())
    parts.push_back({part.name, qs(format_count(part.count)), part.count,
                     theme().seriesColor(part.colorIndex)});
  for (const plan::Term& term : m_times)
    times.push_back({qs(term.label), qs(format_seconds(term.value)), term.value,
                     theme().seriesColor(static_cast<int>(times.size()))});
  m_partsBar->setParts(std::move(parts));
  m_timeBar->setParts(std::move(times));
}

void ParameterCard::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange) showBars();
  Card::changeEvent(event);
}

}  // namespace tera::gui
