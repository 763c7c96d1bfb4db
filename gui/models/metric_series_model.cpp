#include "gui/models/metric_series_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/units.h"
#include "core/run/metric_catalog.h"
#include "gui/text.h"

namespace tera::gui {
namespace {
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr int kFixedColumns = 3;  // step, tokens, hours
}  // namespace

MetricSeriesModel::MetricSeriesModel(std::vector<std::string> metrics, QObject* parent)
    : QAbstractTableModel(parent) {
  for (std::string& name : metrics) {
    Metric metric;
    metric.name = std::move(name);
    metric.smoother = run::Smoother(m_beta);
    m_metrics.push_back(std::move(metric));
  }
}

void MetricSeriesModel::clear() {
  beginResetModel();
  m_steps.clear();
  m_tokens.clear();
  m_hours.clear();
  for (Metric& metric : m_metrics) {
    metric.values.clear();
    metric.averages.clear();
  }
  rebuild();
  endResetModel();
  emit changed();
}

void MetricSeriesModel::append(const std::vector<run::MetricRecord>& records) {
  std::vector<const run::MetricRecord*> fresh;
  for (const run::MetricRecord& record : records) {
    const bool wanted = std::any_of(m_metrics.begin(), m_metrics.end(),
                                    [&](const Metric& m) { return record.has(m.name); });
    if (wanted) fresh.push_back(&record);
  }
  if (fresh.empty()) return;
  const int before = rowCount();
  beginInsertRows({}, before, before + static_cast<int>(fresh.size()) - 1);
  for (const run::MetricRecord* record : fresh) {
    if (m_steps.empty()) m_firstTime = record->time_s;
    // x may not fall: a clock that was set back, or a record without tokens, repeats the last x.
    const double hours = (record->time_s - m_firstTime) / 3600;
    const double lastTokens = m_tokens.empty() ? 0 : m_tokens.back();
    m_hours.push_back(m_hours.empty() ? hours : std::max(hours, m_hours.back()));
    m_tokens.push_back(std::max(lastTokens, record->value("tokens", lastTokens)));
    m_steps.push_back(record->step);
    for (Metric& metric : m_metrics)
      metric.values.push_back(record->value(metric.name, kMissing));
    extend(m_steps.size() - 1);
  }
  endInsertRows();
  emit changed();
}

void MetricSeriesModel::truncateFrom(std::int64_t step) {
  const auto first = std::lower_bound(m_steps.begin(), m_steps.end(), step);
  const std::size_t keep = static_cast<std::size_t>(first - m_steps.begin());
  if (keep == m_steps.size()) return;
  beginRemoveRows({}, static_cast<int>(keep), rowCount() - 1);
  m_steps.resize(keep);
  m_tokens.resize(keep);
  m_hours.resize(keep);
  for (Metric& metric : m_metrics)
    metric.values.resize(keep);
  rebuild();
  endRemoveRows();
  emit changed();
}

void MetricSeriesModel::setSmoothing(double beta) {
  if (beta == m_beta) return;
  m_beta = beta;
  rebuild();
  if (rowCount() > 0) emit dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
  emit changed();
}

void MetricSeriesModel::setXAxis(XAxis axis) {
  if (axis == m_axis) return;
  m_axis = axis;
  rebuild();
  emit changed();
}

double MetricSeriesModel::x(std::size_t row) const {
  switch (m_axis) {
    case XAxis::Step:
      return static_cast<double>(m_steps[row]);
    case XAxis::Tokens:
      return m_tokens[row];
    case XAxis::Hours:
      return m_hours[row];
  }
  return 0;
}

void MetricSeriesModel::extend(std::size_t row) {
  for (Metric& metric : m_metrics) {
    const double value = metric.values[row];
    double average = kMissing;
    if (!std::isnan(value)) {
      average = metric.smoother.append(value);
      metric.raw.append(x(row), value);
      metric.smooth.append(x(row), average);
    }
    metric.averages.push_back(average);
  }
}

void MetricSeriesModel::rebuild() {
  for (Metric& metric : m_metrics) {
    metric.raw.clear();
    metric.smooth.clear();
    metric.averages.clear();
    metric.smoother = run::Smoother(m_beta);
  }
  for (std::size_t row = 0; row < m_steps.size(); ++row)
    extend(row);
}

std::pair<double, double> MetricSeriesModel::xRange() const {
  if (m_steps.empty()) return {0, 0};
  return {x(0), x(m_steps.size() - 1)};
}

double MetricSeriesModel::xOfStep(std::int64_t step) const {
  if (m_steps.empty()) return 0;
  const auto at = std::lower_bound(m_steps.begin(), m_steps.end(), step);
  const auto row = std::min<std::ptrdiff_t>(at - m_steps.begin(), std::ssize(m_steps) - 1);
  return x(static_cast<std::size_t>(row));
}

double MetricSeriesModel::lastValue(int metric) const {
  const std::vector<double>& values = m_metrics[static_cast<std::size_t>(metric)].values;
  const auto last =
      std::find_if(values.rbegin(), values.rend(), [](double value) { return !std::isnan(value); });
  return last == values.rend() ? kMissing : *last;
}

int MetricSeriesModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(m_steps.size());
}

int MetricSeriesModel::columnCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : kFixedColumns + 2 * numMetrics();
}

QVariant MetricSeriesModel::data(const QModelIndex& index, int role) const {
  if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
  if (role == Qt::TextAlignmentRole) return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
  if (role != Qt::DisplayRole) return {};
  const std::size_t row = static_cast<std::size_t>(index.row());
  switch (index.column()) {
    case 0:
      return qs(format_integer(m_steps[row]));
    case 1:
      return qs(format_count(m_tokens[row]));
    case 2:
      return QString::number(m_hours[row], 'f', 3);
    default:
      break;
  }
  const int at = index.column() - kFixedColumns;
  const Metric& metric = m_metrics[static_cast<std::size_t>(at / 2)];
  const double value = at % 2 == 0 ? metric.values[row] : metric.averages[row];
  return std::isnan(value) ? tr("n/a") : QString::number(value, 'g', 6);
}

QVariant MetricSeriesModel::headerData(int section, Qt::Orientation orientation, int role) const {
  if (role != Qt::DisplayRole && role != Qt::ToolTipRole) return {};
  if (orientation == Qt::Vertical)
    return role == Qt::DisplayRole ? QVariant(section + 1) : QVariant();
  if (section < 0 || section >= columnCount()) return {};
  if (section < kFixedColumns)
    return QStringList{tr("step"), tr("tokens"), tr("hours")}.at(section);
  const Metric& metric = m_metrics[static_cast<std::size_t>((section - kFixedColumns) / 2)];
  const run::MetricInfo* info = run::find_metric(metric.name);
  if (role == Qt::ToolTipRole) return info == nullptr ? QVariant() : qs(info->meaning);
  const QString name = qs(metric.name);
  return (section - kFixedColumns) % 2 == 0 ? name : tr("%1, smoothed").arg(name);
}

}  // namespace tera::gui
