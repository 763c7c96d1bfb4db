// ChartView: a plot with its title, the values under the crosshair, and its data as a table
// (Ctrl+T).
#pragma once
#include "gui/widgets/card.h"
#include "gui/widgets/plot_view.h"

class QStackedLayout;
class QTableView;

namespace tera::gui {

class ChartView : public Card {
  Q_OBJECT
 public:
  ChartView(const QString& title,
            const QString& unit,
            MetricSeriesModel& model,
            std::vector<Curve> curves,
            QWidget* parent = nullptr);
  PlotView& plot() { return *m_plot; }
  void showTable(bool on);
  bool tableShown() const;

 protected:
  void keyPressEvent(QKeyEvent* event) override;

 private:
  PlotView* m_plot;
  QTableView* m_table;
  QStackedLayout* m_stack;
  ToneLabel* m_readout;
};

}  // namespace tera::gui
