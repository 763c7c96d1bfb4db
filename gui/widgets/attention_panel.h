// AttentionPanel: what in a run needs a person, worst first, and what to do about the selected
// line; or, when nothing does, what was watched.
#pragma once
#include <vector>

#include "gui/models/diagnostic_model.h"
#include "gui/widgets/card.h"

class QTableView;

namespace tera::gui {

class AttentionPanel : public Card {
  Q_OBJECT
 public:
  explicit AttentionPanel(QWidget* parent = nullptr);
  // allWell is shown when nothing was found.
  void setFindings(std::vector<Diagnostic> found, const QString& allWell, ToneLabel::Tone tone);
  void clear() { setFindings({}, {}, ToneLabel::Muted); }
  const DiagnosticModel& model() const { return m_model; }
  QString advice() const;  // empty: none

 private:
  void showAdvice();

  DiagnosticModel m_model;
  ToneLabel* m_allWell;
  QTableView* m_table;
  ToneLabel* m_advice;
};

}  // namespace tera::gui
