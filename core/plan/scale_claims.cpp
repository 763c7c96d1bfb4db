#include "core/plan/scale_claims.h"

#include <array>

namespace tera::plan {
namespace {

constexpr std::string_view kQuoted =
    "goes round in talks and articles on training costs, without a common origin";
constexpr std::array<ScaleClaim, 3> kClaims = {
    {{.name = "10 B dense",
      .run = "dense-10b",
      .source = kQuoted,
      .low = {.devices = 256, .months = 1, .usd = 1e6},
      .high = {.devices = 512, .months = 2, .usd = 3e6}},
     {.name = "100 B dense",
      .run = "dense-100b",
      .source = kQuoted,
      .low = {.devices = 2048, .months = 3, .usd = 10e6},
      .high = {.devices = 4096, .months = 4, .usd = 30e6}},
     {.name = "1 T MoE",
      .run = "moe-1t",
      .source = kQuoted,
      .low = {.devices = 8000, .months = 6, .usd = 100e6},
      .high = {.devices = 16000, .months = 12, .usd = 300e6}}}};

constexpr double kHoursPerMonth = kHoursPerYear / 12;

// Tokens in an hour of one device, failures included.
double tokens_per_device_hour(const Estimate& estimate) {
  return estimate.tokens_per_s_per_device * 3600 * estimate.cost.goodput;
}

}  // namespace

std::span<const ScaleClaim> scale_claims() {
  return kClaims;
}

ImpliedFigures implied_figures(const Corner& corner, const Estimate& estimate) {
  ImpliedFigures figures;
  figures.device_hours = corner.devices * corner.months * kHoursPerMonth;
  figures.usd_per_device_hour = corner.usd / figures.device_hours;
  figures.tokens = figures.device_hours * tokens_per_device_hour(estimate);
  figures.tokens_per_active_param = figures.tokens / static_cast<double>(estimate.params.active);
  figures.optimal_multiple = figures.tokens / estimate.cost.optimal_tokens;
  // The plan's utilization trains optimal_multiple times as much.
  figures.optimal_utilization =
      estimate.model_flops_utilization * estimate.cost.goodput / figures.optimal_multiple;
  return figures;
}

NeededFigures needed_figures(double tokens, const Estimate& estimate) {
  NeededFigures figures{.tokens = tokens};
  figures.device_hours = tokens / tokens_per_device_hour(estimate);
  figures.days = figures.device_hours / estimate.cost.devices / 24;
  figures.usd = figures.device_hours * estimate.cost.usd / estimate.cost.device_hours;
  return figures;
}

}  // namespace tera::plan
