#include "gui/pages/monitor_header.h"

#include <QComboBox>
#include <QHBoxLayout>
#include <QPushButton>

#include "core/base/units.h"
#include "gui/icons.h"
#include "gui/models/run_facts.h"
#include "gui/text.h"
#include "gui/widgets/card.h"

namespace tera::gui {
namespace {

constexpr double kSmoothings[] = {0.95, 0.99, 0.9, 0};

ToneLabel::Tone toneOf(run::RunState state) {
  using enum run::RunState;
  switch (state) {
    case running:
    case completed:
      return ToneLabel::Ok;
    case failed:
    case died:
      return ToneLabel::Critical;
    case stopped:
      return ToneLabel::Warning;
    case created:
    case starting:
      break;
  }
  return ToneLabel::Muted;
}

}  // namespace

MonitorHeader::MonitorHeader(QWidget* parent) : QWidget(parent) {
  auto* row = new QHBoxLayout(this);
  row->setContentsMargins(2, 0, 0, 0);
  row->setSpacing(12);
  m_name = new ElidedLabel({}, ToneLabel::Normal);
  m_name->setFont(scaledFont(*this, 1.15, QFont::DemiBold));
  m_state = new ToneLabel;
  m_state->setFont(scaledFont(*this, 1.05, QFont::DemiBold));
  m_facts = new ToneLabel({}, ToneLabel::Normal);
  m_facts->setWordWrap(true);
  m_axis = new QComboBox;
  m_axis->addItems({tr("x: steps"), tr("x: tokens"), tr("x: hours")});  // in the order of XAxis
  m_axis->setAccessibleName(tr("Horizontal axis"));
  m_smoothing = new QComboBox;
  for (const double beta : kSmoothings)
    m_smoothing->addItem(beta > 0 ? tr("average %1").arg(beta) : tr("no average"));
  m_smoothing->setAccessibleName(tr("Smoothing"));
  m_stop = new QPushButton(themedIcon("stop"), tr("Stop"));
  m_stop->setAutoDefault(true);
  m_stop->setToolTip(tr("Writes a checkpoint, then ends; teragpt launch --resume goes on from it"));
  row->addWidget(m_name);
  row->addWidget(m_state);
  row->addWidget(m_facts, 1);
  row->addWidget(m_axis);
  row->addWidget(m_smoothing);
  row->addWidget(m_stop);
  connect(m_axis, &QComboBox::currentIndexChanged, this,
          [this](int index) { emit axisChosen(static_cast<XAxis>(index)); });
  connect(m_smoothing, &QComboBox::currentIndexChanged, this,
          [this](int index) { emit smoothingChosen(kSmoothings[index]); });
  connect(m_stop, &QPushButton::clicked, this, &MonitorHeader::stopRequested);
}

void MonitorHeader::showReading(const QString& name) {
  setStopping(false);
  m_name->setText(name);
  m_name->setToolTip({});
  m_state->setText(tr("reading…"));
  m_state->setTone(ToneLabel::Muted);
  m_facts->clear();
  m_stop->setEnabled(false);
}

void MonitorHeader::showUnreadable() {
  m_state->setText(tr("■ cannot be read"));
  m_state->setTone(ToneLabel::Critical);
  m_stop->setEnabled(false);
}

void MonitorHeader::showStatus(const run::RunStatus& status, double now_s, double staleAfter_s) {
  if (!status.alive) setStopping(false);
  m_name->setText(qs(status.name));
  m_name->setToolTip(qs(status.path.string()));
  const double age = now_s - status.last_record_s;
  const bool stale = status.alive && status.last_record_s > 0 && age > staleAfter_s;
  m_state->setText(m_stopping ? tr("▲ stopping")
                   : stale    ? tr("▲ no record for %1").arg(qs(format_age(age)))
                              : runStateText(status.state));
  m_state->setTone(m_stopping || stale ? ToneLabel::Warning : toneOf(status.state));
  m_state->setToolTip(qs(status.detail));
  m_facts->setText(runFacts(status, now_s));
  m_facts->setToolTip(qs(status.detail));
  m_facts->setTone(stale ? ToneLabel::Muted : ToneLabel::Normal);
  m_stop->setEnabled(status.alive && !m_stopping);
}

void MonitorHeader::setStopping(bool on) {
  m_stopping = on;
  if (!on) return;
  m_stop->setEnabled(false);
  m_state->setText(tr("▲ stopping"));
  m_state->setTone(ToneLabel::Warning);
}

void MonitorHeader::cycleSmoothing() {
  m_smoothing->setCurrentIndex((m_smoothing->currentIndex() + 1) % m_smoothing->count());
}

QString MonitorHeader::stateText() const {
  return m_state->text();
}

QString MonitorHeader::factsText() const {
  return m_facts->text();
}

}  // namespace tera::gui
