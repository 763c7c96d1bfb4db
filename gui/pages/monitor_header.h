// MonitorHeader: the line above the charts: which run, its state by evidence, facts; what the
// charts show along x and how they are smoothed; Stop.
#pragma once
#include <QWidget>

#include "core/run/run_state.h"
#include "gui/models/metric_series_model.h"

class QComboBox;
class QPushButton;

namespace tera::gui {

class ElidedLabel;
class ToneLabel;

class MonitorHeader : public QWidget {
  Q_OBJECT
 public:
  explicit MonitorHeader(QWidget* parent = nullptr);
  void showReading(const QString& name);  // attached; nothing is known yet
  void showUnreadable();
  // now_s: seconds since the epoch; a living run is stale without a record for staleAfter_s.
  void showStatus(const run::RunStatus& status, double now_s, double staleAfter_s);
  void setStopping(bool on);  // told to stop, and not ended yet
  bool isStopping() const { return m_stopping; }
  void cycleSmoothing();
  QString stateText() const;
  QString factsText() const;

 signals:
  void axisChosen(tera::gui::XAxis axis);
  void smoothingChosen(double beta);  // 0 = none
  void stopRequested();

 private:
  ElidedLabel* m_name;
  ToneLabel* m_state;
  ToneLabel* m_facts;
  QComboBox* m_axis;
  QComboBox* m_smoothing;
  QPushButton* m_stop;
  bool m_stopping = false;
};

}  // namespace tera::gui
