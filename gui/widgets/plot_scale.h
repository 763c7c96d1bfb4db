// Numbers along the axes of a plot, and the points of its lines.
#pragma once
#include <QList>
#include <QPointF>
#include <QString>

#include "core/run/metric_pyramid.h"

namespace tera::gui {

// A power of ten with its SI prefix, which labels carry so that their numbers stay short.
struct SiStep {
  double factor = 1;
  const char* prefix = "";
};

// The step for an axis whose largest value is this; from ten of a step on, so 9,000 stays 9,000.
SiStep siStep(double largest);

// The smallest of 1, 2 or 5 times a power of ten that cuts span into at most this many parts.
double niceInterval(double span, int parts);

// As QValueAxis takes it: as many decimals as the interval between labels needs, then the prefix.
QString labelFormat(double interval, const SiStep& step);

// Points for a line through pyramid columns: at most four per column, in order of x.
QList<QPointF> linePoints(const std::vector<run::PyramidColumn>& columns,
                          double xScale,
                          double yScale);

}  // namespace tera::gui
