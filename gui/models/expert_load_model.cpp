#include "gui/models/expert_load_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tera::gui {
namespace {
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
}

ExpertLoadModel::ExpertLoadModel(QObject* parent) : QAbstractTableModel(parent) {}

void ExpertLoadModel::setLoads(const std::vector<std::vector<double>>& loads,
                               std::vector<int> layers,
                               std::int64_t step) {
  std::size_t width = 0;
  for (const auto& row : loads)
    width = std::max(width, row.size());
  const int numExperts = static_cast<int>(width);
  const bool reshaped = loads.size() != m_ratios.size() || numExperts != m_numExperts;
  if (reshaped) beginResetModel();
  m_numExperts = numExperts;
  m_step = step;
  m_ratios.assign(loads.size(), {});
  m_layers = std::move(layers);
  m_layers.resize(loads.size());
  for (std::size_t i = 0; i < loads.size(); ++i) {
    const double sum = std::accumulate(loads[i].begin(), loads[i].end(), 0.0);
    const double mean = loads[i].empty() ? 0 : sum / static_cast<double>(loads[i].size());
    m_ratios[i].assign(width, kMissing);
    for (std::size_t e = 0; e < loads[i].size(); ++e)
      m_ratios[i][e] = mean > 0 ? loads[i][e] / mean : kMissing;
  }
  if (reshaped) {
    endResetModel();
  } else if (!m_ratios.empty()) {
    emit dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
  }
}

double ExpertLoadModel::ratio(int row, int expert) const {
  return m_ratios[static_cast<std::size_t>(row)][static_cast<std::size_t>(expert)];
}

double ExpertLoadModel::maxOverMean(int row) const {
  double worst = kMissing;
  for (const double value : m_ratios[static_cast<std::size_t>(row)]) {
    if (!(value <= worst)) worst = std::isnan(value) ? worst : value;
  }
  return worst;
}

double ExpertLoadModel::expertMean(int expert) const {
  double sum = 0;
  int count = 0;
  for (int row = 0; row < numLayers(); ++row) {
    if (std::isnan(ratio(row, expert))) continue;
    sum += ratio(row, expert);
    ++count;
  }
  return count > 0 ? sum / count : kMissing;
}

int ExpertLoadModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : numLayers();
}

int ExpertLoadModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() || m_numExperts == 0 ? 0 : m_numExperts + 1;
}

QVariant ExpertLoadModel::data(const QModelIndex& index, int role) const {
  if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
  if (role == Qt::TextAlignmentRole) return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
  if (role != Qt::DisplayRole) return {};
  const double value = index.column() == m_numExperts ? maxOverMean(index.row())
                                                      : ratio(index.row(), index.column());
  if (std::isnan(value)) return tr("n/a");
  return tr("%1×").arg(value, 0, 'f', 2);
}

QVariant ExpertLoadModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (role != Qt::DisplayRole || section < 0) return {};
  if (orientation == Qt::Vertical)
    return section < numLayers() ? QVariant(tr("layer %1").arg(layer(section))) : QVariant();
  if (section == m_numExperts) return tr("max / mean");
  return tr("E%1").arg(section);
}

}  // namespace tera::gui
