#include "core/plan/cost_model.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/spec/step_samples.h"

namespace tera::plan {
namespace {

// 419 unexpected interruptions of 16,384 GPUs in 54 days: one per 50,700 device hours.
// Source: Llama Team 2024, The Llama 3 Herd of Models, section 3.3.4.
constexpr double kDeviceHoursPerFailure = 50000;
// Time from a failure to the first new step. Source: Jiang et al. 2024, MegaScale: below 15
// minutes.
constexpr double kRestartS = 600;
// Time the step stands still for a checkpoint written in the background.
constexpr double kCheckpointS = 2;

Term figure(
    std::string label, double value, std::string unit, std::string formula, std::string source) {
  return {.label = std::move(label),
          .value = value,
          .unit = std::move(unit),
          .formula = std::move(formula),
          .source = std::move(source),
          .children = {}};
}

}  // namespace

double goodput(double checkpoint_interval_s, double checkpoint_s, double restart_s, double mtbf_s) {
  if (checkpoint_interval_s <= 0) return 1;
  double lost = checkpoint_s / (checkpoint_interval_s + checkpoint_s);
  if (mtbf_s > 0) lost += (checkpoint_interval_s / 2 + restart_s) / mtbf_s;
  // So many failures that the linear law ends: a run that hardly moves, never a negative share.
  return std::max(0.01, 1 - lost);
}

RunCost plan_cost(const spec::RunSpec& spec, double step_s, double busy_share) {
  const spec::Cluster& cluster = spec.cluster;
  const spec::DeviceSpec& device = cluster.device;
  const auto devices = static_cast<double>(
      std::min(cluster.num_devices(), std::max<std::int64_t>(1, spec.layout.world_size())));
  const double tokens = spec::tokens_before(spec.training, spec.training.num_steps);
  const double steps = tokens / static_cast<double>(spec.tokens_per_step());  // of whole batches
  const std::int64_t interval = spec.training.checkpoint_interval > 0
                                    ? spec.training.checkpoint_interval
                                    : spec.training.num_steps;
  const double mtbf_s = device.is_cpu ? 0 : kDeviceHoursPerFailure * 3600 / devices;

  RunCost cost;
  cost.tokens = tokens;
  cost.goodput = device.is_cpu ? 1
                               : goodput(static_cast<double>(interval) * step_s, kCheckpointS,
                                         kRestartS, mtbf_s);
  cost.run_s = step_s * steps / cost.goodput;
  cost.device_hours = cost.run_s / 3600 * devices;
  cost.usd = cost.device_hours * device.price_usd_per_h;
  const double watts =
      device.idle_power_w + (device.peak_power_w - device.idle_power_w) * busy_share;
  cost.kwh = cost.device_hours * watts / 1000 * cluster.power_usage_effectiveness;
  cost.tco2e = cost.kwh * cluster.grid_gco2_per_kwh * 1e-6;

  std::vector<Term> figures;
  figures.push_back(
      figure("time", cost.run_s, "s",
             fmt::format("{}{} x {} / {} goodput", format_integer(static_cast<std::int64_t>(steps)),
                         spec.training.has_batch_ramp() ? " whole batches" : " steps",
                         format_seconds(step_s), format_percent(cost.goodput)),
             device.is_cpu ? "one computer: no failures assumed"
                           : "Young 1974, Daly 2006; one failure per 50,000 device hours (Llama "
                             "Team 2024), 10 min to restart"));
  figures.push_back(figure("device hours", cost.device_hours, "h",
                           fmt::format("{} x {:.0f} devices", format_seconds(cost.run_s), devices),
                           "time x devices"));
  figures.push_back(figure("usd", cost.usd, "USD",
                           fmt::format("{} of devices x {:.4g} USD/h",
                                       format_hours(cost.device_hours), device.price_usd_per_h),
                           "cluster.device.price_usd_per_h"));
  figures.push_back(figure(
      "kWh", cost.kwh, "kWh",
      fmt::format("{} of devices x ({:.0f} W idle + {} busy x {:.0f} W) x {:.3g} PUE",
                  format_hours(cost.device_hours), device.idle_power_w, format_percent(busy_share),
                  device.peak_power_w - device.idle_power_w, cluster.power_usage_effectiveness),
      "cluster.device power and cluster.power_usage_effectiveness; devices only"));
  figures.push_back(figure(
      "tCO2e", cost.tco2e, "tCO2e",
      fmt::format("{} x {:.4g} gCO2e/kWh", format_energy(cost.kwh), cluster.grid_gco2_per_kwh),
      "cluster.grid_gco2_per_kwh"));
  cost.terms = Term{.label = "cost",
                    .value = 0,
                    .unit = {},
                    .formula = {},
                    .source = {},
                    .children = std::move(figures)};
  return cost;
}

}  // namespace tera::plan
