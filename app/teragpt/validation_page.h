// Predictions beside published measurements, for the guide: tables in Markdown and a picture.
#pragma once
#include <string>
#include <vector>

#include "core/plan/validation_summary.h"

namespace tera::app {

// Errors by kind of row and by group, order of layouts and schedules, memory, and why rows are not
// compared. Figures are rounded, so that small changes of the model leave most of them alone.
std::string validation_tables(const std::vector<plan::RowPrediction>& rows);

// SVG of predicted against measured step time, both logarithmic, a shape and colour for each kind
// of row; without a background, legible on light and dark ones. The same rows give the same text.
std::string validation_scatter(const std::vector<plan::RowPrediction>& rows);

}  // namespace tera::app
