// ExpertLoadModel: tokens of each expert over the ideal share, newest record. Rows: MoE layers;
// columns: experts, then max / mean. 1 is ideal, 0 a dead expert.
#pragma once
#include <vector>

#include <QAbstractTableModel>

namespace tera::gui {

class ExpertLoadModel : public QAbstractTableModel {
  Q_OBJECT
 public:
  explicit ExpertLoadModel(QObject* parent = nullptr);

  // loads[row][expert] in any unit: each row is divided by its mean. layers[row]: index of the
  // layer.
  void setLoads(const std::vector<std::vector<double>>& loads,
                std::vector<int> layers,
                std::int64_t step);
  void clear() { setLoads({}, {}, 0); }

  int numLayers() const { return static_cast<int>(m_ratios.size()); }
  int numExperts() const { return m_numExperts; }
  std::int64_t step() const { return m_step; }
  int layer(int row) const { return m_layers[static_cast<std::size_t>(row)]; }
  double ratio(int row, int expert) const;  // load / ideal; NaN = n/a
  double maxOverMean(int row) const;
  double expertMean(int expert) const;  // mean ratio over the layers

  int rowCount(const QModelIndex& parent = {}) const override;
  int columnCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role = Qt::DisplayRole) const override;
  QVariant headerData(int section, Qt::Orientation orientation, int role) const override;

 private:
  std::vector<std::vector<double>> m_ratios;  // [row][expert]
  std::vector<int> m_layers;
  int m_numExperts = 0;
  std::int64_t m_step = 0;
};

}  // namespace tera::gui
