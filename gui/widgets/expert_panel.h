// ExpertPanel: load of the experts as a map, or as a table (its button, or Ctrl+T).
#pragma once
#include "gui/models/expert_load_model.h"
#include "gui/widgets/card.h"

class QStackedLayout;
class QToolButton;

namespace tera::gui {

class HeatMap;

class ExpertPanel : public Card {
  Q_OBJECT
 public:
  explicit ExpertPanel(ExpertLoadModel& model, QWidget* parent = nullptr);
  bool tableShown() const;
  HeatMap& map() { return *m_map; }

 protected:
  void keyPressEvent(QKeyEvent* event) override;

 private:
  HeatMap* m_map;
  QStackedLayout* m_stack;
  QToolButton* m_asTable;
};

}  // namespace tera::gui
