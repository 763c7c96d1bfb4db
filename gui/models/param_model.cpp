#include "gui/models/param_model.h"

#include <algorithm>

#include "core/base/units.h"
#include "gui/text.h"

namespace tera::gui {

ParamModel::ParamModel(QObject* parent)
    : TableModel({tr("Part"), tr("Parameters"), tr("Share")}, parent) {}

void ParamModel::setCounts(const plan::ParamCounts& counts) {
  const double total = std::max(1.0, static_cast<double>(counts.total));
  std::vector<ParamPart> parts;
  const auto add = [&](const QString& name, std::int64_t count) {
    const int colorIndex = static_cast<int>(parts.size());
    const double value = static_cast<double>(count);
    parts.push_back({name, value, value / total, colorIndex});
  };
  add(tr("routed experts"), counts.experts);
  add(tr("attention"), counts.attention);
  add(tr("dense FFN"), counts.dense_ffn);
  add(tr("embedding"), counts.embedding);
  add(tr("head"), counts.head);
  add(tr("shared experts"), counts.shared_experts);
  add(tr("router"), counts.router);
  add(tr("norms"), counts.norms);
  std::erase_if(parts, [](const ParamPart& part) { return part.count <= 0; });
  std::stable_sort(parts.begin(), parts.end(),
                   [](const ParamPart& a, const ParamPart& b) { return a.count > b.count; });
  setRows(std::move(parts));
}

void ParamModel::setColors(std::vector<QColor> colors) {
  m_colors = std::move(colors);
  if (rowCount() > 0) emit dataChanged(index(0, 0), index(rowCount() - 1, columnCount() - 1));
}

QVariant ParamModel::cell(const ParamPart& row, int column, int role) const {
  if (role == Qt::DecorationRole && column == PartColumn &&
      static_cast<std::size_t>(row.colorIndex) < m_colors.size()) {
    return m_colors[static_cast<std::size_t>(row.colorIndex)];
  }
  if (role == Qt::TextAlignmentRole && column != PartColumn)
    return static_cast<int>(Qt::AlignRight | Qt::AlignVCenter);
  if (role != Qt::DisplayRole) return {};
  switch (column) {
    case PartColumn:
      return row.name;
    case CountColumn:
      return qs(format_count(row.count));
    case ShareColumn:
      return row.share < 0.0005 ? tr("< 0.1 %") : qs(format_percent(row.share));
    default:
      return {};
  }
}

}  // namespace tera::gui
