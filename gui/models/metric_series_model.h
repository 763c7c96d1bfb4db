// MetricSeriesModel: some metrics of one run over its steps: the table behind a chart (Ctrl+T), and
// the pyramids the chart draws from.
#pragma once
#include <string>
#include <vector>

#include <QAbstractTableModel>

#include "core/run/metric_pyramid.h"
#include "core/run/metric_stream.h"

namespace tera::gui {

enum class XAxis { Step, Tokens, Hours };  // hours since the first record

class MetricSeriesModel : public QAbstractTableModel {
  Q_OBJECT
 public:
  // Columns: step, tokens, hours, then each metric and, for smoothed ones, its average.
  MetricSeriesModel(std::vector<std::string> metrics, QObject* parent = nullptr);

  void clear();
  // One model update for all records; call with slices when there are very many.
  void append(const std::vector<run::MetricRecord>& records);
  void truncateFrom(std::int64_t step);  // the run was resumed from before this step
  void setSmoothing(double beta);        // 0 = no smoothing
  void setXAxis(XAxis axis);

  int numMetrics() const { return static_cast<int>(m_metrics.size()); }
  const std::string& metric(int i) const { return m_metrics[static_cast<std::size_t>(i)].name; }
  const run::MetricPyramid& raw(int i) const { return m_metrics[static_cast<std::size_t>(i)].raw; }
  const run::MetricPyramid& smooth(int i) const {
    return m_metrics[static_cast<std::size_t>(i)].smooth;
  }
  XAxis xAxis() const { return m_axis; }
  double smoothing() const { return m_beta; }
  // x of the first and last row; {0, 0} when empty.
  std::pair<double, double> xRange() const;
  double xOfStep(std::int64_t step) const;  // of the first row at or after this step
  double lastValue(int metric) const;       // NaN when none

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

 signals:
  void changed();

 private:
  struct Metric {
    std::string name;
    std::vector<double> values;  // one per row; NaN = not in this record
    std::vector<double> averages;
    run::MetricPyramid raw, smooth;
    run::Smoother smoother;
  };
  double x(std::size_t row) const;
  void extend(std::size_t row);  // feeds one row to the pyramids
  void rebuild();

  std::vector<Metric> m_metrics;
  std::vector<std::int64_t> m_steps;
  std::vector<double> m_tokens, m_hours;
  double m_firstTime = 0;
  double m_beta = 0.95;
  XAxis m_axis = XAxis::Step;
};

}  // namespace tera::gui
