// ParameterCard: where the parameters of a model are, and where the time of a step goes: totals in
// words, a bar of shares, the numbers in a table.
#pragma once
#include "core/plan/estimate.h"
#include "gui/models/param_model.h"
#include "gui/widgets/card.h"
#include "gui/widgets/parts_bar.h"

namespace tera::gui {

class ParameterCard : public Card {
  Q_OBJECT
 public:
  explicit ParameterCard(QWidget* parent = nullptr);
  // null: no numbers, and why. The estimate is copied.
  void setEstimate(const plan::Estimate* estimate, const QString& problem);
  const ParamModel& model() const { return m_params; }
  const PartsBar& parameters() const { return *m_partsBar; }
  const PartsBar& stepTime() const { return *m_timeBar; }
  QString totals() const { return m_totals->text(); }

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void showBars();

  ParamModel m_params;
  std::vector<plan::Term> m_times;
  PartsBar* m_partsBar;
  PartsBar* m_timeBar;
  ToneLabel* m_totals;
  ToneLabel* m_timeText;
};

}  // namespace tera::gui
