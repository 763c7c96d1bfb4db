#include "core/plan/expert_load.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/plan/constant.h"

namespace tera::plan {
namespace {

// How much more than the mean the fullest of 64 experts has, and how far out the largest of as many
// normal numbers lies: together the standard deviation of the load of one.
constexpr Constant kWithBalanceLoss{
    "excess load with a balance loss", 0.72, "", false,
    "Wang et al. 2024, Auxiliary-Loss-Free Load Balancing, table 2"};
constexpr Constant kWithBias{"excess load with a bias", 0.04, "", false,
                             "Wang et al. 2024, Auxiliary-Loss-Free Load Balancing, table 2"};
constexpr Constant kLargestOf64{
    "largest of 64", 2.344, "deviations", false,
    "expected largest of 64 normal numbers: integral of x d(Phi(x)^64)"};

}  // namespace

double normal_quantile(double p) {
  double low = -10;
  double high = 10;
  constexpr int kHalvings = 60;  // of 20: far below the last digit of a double
  for (int i = 0; i < kHalvings; ++i) {
    const double x = (low + high) / 2;
    (std::erfc(-x / std::numbers::sqrt2) / 2 < p ? low : high) = x;
  }
  return (low + high) / 2;
}

double busiest_expert_load(const spec::RunSpec& spec, double percentile) {
  const spec::ModelConfig& model = spec.model;
  const double ranks = spec.layout.expert_parallel_size;
  if (model.num_experts == 0 || ranks <= 1 || percentile <= 0) return 1;
  if (model.expert_capacity_factor > 0 || model.router_choice == spec::RouterChoice::expert)
    return 1;
  const double tokens = double{1} * spec.layout.micro_batch_size * spec.training.seq_length /
                        spec.layout.context_parallel_size;
  const double rows = std::max(1.0, tokens * model.router_top_k);  // that a rank gets on average
  const double drawn = (1 - 1 / ranks) / rows;
  const double excess =
      model.expert_bias_update_rate > 0 ? kWithBias.value : kWithBalanceLoss.value;
  const double liked = excess / kLargestOf64.value;
  const double deviation = std::sqrt(drawn + liked * liked * ranks / model.num_experts);
  const double each = std::pow(percentile / 100, 1 / ranks);  // all ranks stay below
  return std::clamp(1 + normal_quantile(each) * deviation, 1.0, ranks);
}

std::int64_t expert_buffer_rows(double load, std::int64_t even_rows, std::int64_t most_rows) {
  return std::clamp<std::int64_t>(
      static_cast<std::int64_t>(std::ceil(load * static_cast<double>(even_rows))), 1,
      std::max<std::int64_t>(1, most_rows));
}

}  // namespace tera::plan
