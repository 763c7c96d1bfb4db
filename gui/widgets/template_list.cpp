#include "gui/widgets/template_list.h"

#include <algorithm>

#include <QPushButton>
#include <QVBoxLayout>

#include "core/base/units.h"
#include "core/plan/param_table.h"
#include "core/spec/presets.h"
#include "gui/text.h"
#include "gui/widgets/card.h"

namespace tera::gui {

TemplateList::TemplateList(QWidget* parent)
    : QScrollArea(parent), m_job([this](Result<std::vector<Template>>& templates) {
        m_known = true;
        templates ? fill(*templates) : emit failed(qs(templates.error().message));
      }) {
  setWidgetResizable(true);
  setFrameShape(QFrame::NoFrame);
  setFocusPolicy(Qt::NoFocus);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  viewport()->setAutoFillBackground(false);
  auto* content = new QWidget;
  auto* column = new QVBoxLayout(content);
  column->setContentsMargins(0, 0, 0, 0);
  m_buttons = new QVBoxLayout;
  m_buttons->setSpacing(6);
  column->addLayout(m_buttons);
  column->addStretch(1);
  setWidget(content);
  content->setAutoFillBackground(false);  // setWidget switches it on; the card shows through
  m_job.start(readTemplates);
}

Result<std::vector<TemplateList::Template>> TemplateList::readTemplates() {
  std::vector<Template> templates;
  TERA_TRY(const std::vector<std::string> names, spec::model_preset_names());
  for (const std::string& name : names) {
    TERA_TRY(const spec::ModelPreset preset, spec::model_preset(name));
    templates.push_back(
        {qs(name), qs(preset.title), static_cast<double>(plan::count_params(preset.model).total)});
  }
  std::stable_sort(templates.begin(), templates.end(),
                   [](const Template& a, const Template& b) { return a.params < b.params; });
  return templates;
}

void TemplateList::fill(const std::vector<Template>& templates) {
  for (const Template& entry : templates) {
    auto* button = new QPushButton;
    button->setAutoDefault(true);
    button->setAccessibleName(tr("New project from %1").arg(entry.name));
    button->setAccessibleDescription(entry.title);
    button->setToolTip(entry.title);
    auto* inside = new QVBoxLayout(button);
    inside->setContentsMargins(10, 5, 10, 5);
    inside->setSpacing(0);
    auto* name =
        new ElidedLabel(QStringLiteral("%1   %2").arg(entry.name, qs(format_count(entry.params))),
                        ToneLabel::Normal);
    name->setFont(scaledFont(*this, 1.0, QFont::DemiBold));
    auto* title = new ElidedLabel(entry.title);
    title->setFont(scaledFont(*this, 0.9));
    for (QLabel* label : {static_cast<QLabel*>(name), static_cast<QLabel*>(title)}) {
      label->setAttribute(Qt::WA_TransparentForMouseEvents);
      inside->addWidget(label);
    }
    button->setFixedHeight(inside->sizeHint().height());  // a button knows nothing of its layout
    m_buttons->addWidget(button);
    connect(button, &QPushButton::clicked, this, [this, name = entry.name] { emit chosen(name); });
  }
}

int TemplateList::count() const {
  return m_buttons->count();
}

}  // namespace tera::gui
