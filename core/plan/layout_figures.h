// What a search compares of a layout: the figures of estimate() without its text.
#pragma once
#include "core/base/result.h"
#include "core/plan/step_seconds.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct LayoutFigures {
  double step_s = 0;
  double busy_share = 0;    // of the step in which the busiest stage computes
  double memory_bytes = 0;  // of a rank of the stage that needs most
  double host_bytes = 0;    // of a node, off its devices
  double nvme_bytes = 0;
};
// Equal to those of estimate(), to the bit (tested). The rules of spec::validate must hold.
Result<LayoutFigures> layout_figures(const spec::RunSpec& spec);

}  // namespace tera::plan
