// What one rank reaches of its device, and how much of a micro-batch it has: what
// every part of a layer is worked out from.
#pragma once
#include "core/spec/run_spec.h"

namespace tera::plan {

struct RankRates {
  double peak_flops_per_s = 0;    // of its share of the device in the run's precision
  double matmul_flops_per_s = 0;  // of that, reached by large products
  double memory_bytes_per_s = 0;  // reached
  double element_bytes = 0;       // of a compute-dtype element
  double tokens = 0;              // T: of one micro-batch on one context rank
  double residual_tokens = 0;     // T, split over tensor ranks under sequence parallelism
};
RankRates rank_rates(const spec::RunSpec& spec);

}  // namespace tera::plan
