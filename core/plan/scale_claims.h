// The much-quoted table of what models of three sizes take, examined: what its GPUs, months and
// dollars imply, and what the same models need as planned here. Figures for
// resources/guide/scale_table.md.
#pragma once
#include <span>
#include <string_view>

#include "core/plan/estimate.h"

namespace tera::plan {

struct Corner {  // the low or the high end of a row of the table
  double devices = 0;
  double months = 0;
  double usd = 0;
};
struct ScaleClaim {
  std::string_view name;
  std::string_view run;  // preset that plans such a model
  std::string_view source;
  Corner low;
  Corner high;
};
std::span<const ScaleClaim> scale_claims();

struct ImpliedFigures {
  double device_hours = 0;
  double usd_per_device_hour = 0;
  double tokens = 0;  // trained in those hours, as fast as the plan trains
  double tokens_per_active_param = 0;
  double optimal_multiple = 0;  // of the compute-optimal tokens
  // Of peak, if in all that time no more than the compute-optimal tokens were trained.
  double optimal_utilization = 0;
};
// estimate: of the row's model.
ImpliedFigures implied_figures(const Corner& corner, const Estimate& estimate);

struct NeededFigures {
  double tokens = 0;
  double device_hours = 0;
  double days = 0;  // on the devices of the spec
  double usd = 0;
};
// For so many tokens, at the plan's speed, goodput and price.
NeededFigures needed_figures(double tokens, const Estimate& estimate);

}  // namespace tera::plan
