#include "gui/widgets/plot_scale.h"

#include <algorithm>
#include <cmath>

namespace tera::gui {
namespace {
constexpr int kMaxDecimals = 8;
}

SiStep siStep(double largest) {
  for (const SiStep& step :
       {SiStep{1e12, "T"}, SiStep{1e9, "G"}, SiStep{1e6, "M"}, SiStep{1e3, "k"}}) {
    if (largest >= step.factor * 10) return step;
  }
  return {1, ""};
}

double niceInterval(double span, int parts) {
  const double rough = std::max(span, 1e-300) / parts;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

QString labelFormat(double interval, const SiStep& step) {
  const int decimals =
      std::clamp(static_cast<int>(std::ceil(-std::log10(interval) - 1e-9)), 0, kMaxDecimals);
  const QString number = QStringLiteral("%.%1f").arg(decimals);
  return *step.prefix == 0 ? number : number + QLatin1Char(' ') + QLatin1String(step.prefix);
}

QList<QPointF> linePoints(const std::vector<run::PyramidColumn>& columns,
                          double xScale,
                          double yScale) {
  QList<QPointF> points;
  points.reserve(static_cast<qsizetype>(columns.size()) * 2);
  const auto add = [&](double x, double y) {
    if (!std::isfinite(y)) return;
    const QPointF point(x / xScale, y / yScale);
    if (points.isEmpty() || points.last() != point) points.append(point);
  };
  for (const run::PyramidColumn& column : columns) {
    if (column.count == 0) continue;
    add(column.x_first, column.first);
    if (column.count > 2) {
      const bool minFirst = column.x_min <= column.x_max;
      add(minFirst ? column.x_min : column.x_max, minFirst ? column.min : column.max);
      add(minFirst ? column.x_max : column.x_min, minFirst ? column.max : column.min);
    }
    if (column.count > 1) add(column.x_last, column.last);
  }
  return points;
}

}  // namespace tera::gui
