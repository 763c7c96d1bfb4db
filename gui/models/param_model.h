// ParamModel: where the parameters of a model are. One row per part that has any, largest first.
#pragma once
#include <QColor>

#include "core/plan/param_table.h"
#include "gui/models/table_model.h"

namespace tera::gui {

struct ParamPart {
  QString name;
  double count = 0;
  double share = 0;  // of the total, 0..1
  int colorIndex =
      0;  // fixed per kind of part, so that a part keeps its colour while numbers change
};

class ParamModel : public TableModel<ParamPart> {
  Q_OBJECT
 public:
  enum Column { PartColumn, CountColumn, ShareColumn };
  explicit ParamModel(QObject* parent = nullptr);
  void setCounts(const plan::ParamCounts& counts);
  void setColors(std::vector<QColor> colors);  // of the theme, by colorIndex

 protected:
  QVariant cell(const ParamPart& row, int column, int role) const override;

 private:
  std::vector<QColor> m_colors;
};

}  // namespace tera::gui
