#include "core/plan/cost_model.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/compute_optimal.h"
#include "core/plan/goodput.h"
#include "core/spec/step_samples.h"

namespace tera::plan {
namespace {

// Failures, and the interval between checkpoints against the best one.
Result<void> add_goodput(const spec::RunSpec& spec, double step_s, RunCost& cost) {
  const spec::Operation& operation = spec.cluster.operation;
  const std::int64_t interval = spec.training.checkpoint_interval > 0
                                    ? spec.training.checkpoint_interval
                                    : spec.training.num_steps;
  cost.mtbf_s = operation.device_hours_per_failure * 3600 / cost.devices;
  cost.recover_s = operation.detection_s + operation.restart_s + cost.storage.read_s;
  // What was computed while the newest checkpoint was still being written is lost with it.
  const FailureModel model{.mtbf_s = cost.mtbf_s,
                           .stall_s = operation.checkpoint_stall_s,
                           .recover_s = cost.recover_s + cost.storage.write_s};
  const double wanted_s = static_cast<double>(interval) * step_s;
  // One checkpoint is written at a time.
  cost.checkpoint_interval_s = std::max(wanted_s, cost.storage.write_s);
  cost.goodput = cost.best_goodput = goodput(model, cost.checkpoint_interval_s);
  if (wanted_s < cost.storage.write_s) {
    cost.found.push_back(
        {.severity = Severity::warning,
         .field = "training.checkpoint_interval",
         .message =
             fmt::format("{} steps take {}, but writing a checkpoint of {} takes {}", interval,
                         format_seconds(wanted_s), format_bytes(cost.storage.checkpoint_bytes),
                         format_seconds(cost.storage.write_s)),
         .hint = fmt::format("use at least {:.0f}", std::ceil(cost.storage.write_s / step_s))});
  }
  if (cost.mtbf_s <= 0) return {};
  constexpr double kLeastGoodput = 0.01;  // below it, nobody would call it a run
  cost.best_interval_s = std::max({best_interval_s(model), cost.storage.write_s, step_s});
  cost.best_goodput = goodput(model, cost.best_interval_s);
  if (cost.goodput < kLeastGoodput) {
    return fail(ErrorCode::invalid_input,
                fmt::format("cluster.operation.device_hours_per_failure: {:.0f} devices fail every "
                            "{}, and checkpoints are {} apart: the run would hardly ever get on",
                            cost.devices, format_seconds(cost.mtbf_s),
                            format_seconds(cost.checkpoint_interval_s)),
                cost.best_goodput < kLeastGoodput
                    ? fmt::format("a restart takes {}; give more device hours per failure",
                                  format_seconds(model.recover_s))
                    : fmt::format("lower training.checkpoint_interval to {:.0f}",
                                  std::ceil(cost.best_interval_s / step_s)));
  }
  constexpr double kWorthTelling = 0.005;
  if (cost.best_goodput - cost.goodput > kWorthTelling) {
    cost.found.push_back(
        {.severity = Severity::note,
         .field = "training.checkpoint_interval",
         .message =
             fmt::format("{} of the time trains: a failure every {} and a checkpoint every {}",
                         format_percent(cost.goodput), format_seconds(cost.mtbf_s),
                         format_seconds(cost.checkpoint_interval_s)),
         .hint = fmt::format("{:.0f} steps would make it {}",
                             std::max(1.0, std::round(cost.best_interval_s / step_s)),
                             format_percent(cost.best_goodput))});
  }
  return {};
}

void add_energy_and_money(const spec::Cluster& cluster, double busy_share, RunCost& cost) {
  const spec::DeviceSpec& device = cluster.device;
  const spec::Operation& operation = cluster.operation;
  // Time lost to failures is spent idle.
  const double device_w =
      device.idle_power_w + (device.peak_power_w - device.idle_power_w) * busy_share * cost.goodput;
  cost.device_kwh = cost.device_hours * device_w / 1000;
  cost.host_kwh = cost.device_hours / cluster.devices_per_node * operation.node_power_w / 1000;
  cost.kwh = (cost.device_kwh + cost.host_kwh) * cluster.power_usage_effectiveness;
  cost.tco2e = cost.kwh * cluster.grid_gco2_per_kwh * 1e-6;
  cost.usd_rented = cost.device_hours * device.price_usd_per_h;
  cost.capital_usd = cost.device_hours * operation.capital_usd_per_device /
                     (operation.service_years * kHoursPerYear);
  cost.electricity_usd = cost.kwh * operation.electricity_usd_per_kwh;
  cost.usd_owned = cost.capital_usd + cost.electricity_usd;
  cost.usd = operation.payment == spec::Payment::owned ? cost.usd_owned : cost.usd_rented;
}

}  // namespace

Result<RunCost> run_figures(const spec::RunSpec& spec, const StepFigures& step) {
  const spec::Cluster& cluster = spec.cluster;
  RunCost cost;
  cost.tokens = spec::tokens_before(spec.training, spec.training.num_steps);
  cost.steps = cost.tokens / static_cast<double>(spec.tokens_per_step());
  cost.devices = static_cast<double>(
      std::min(cluster.num_devices(), std::max<std::int64_t>(1, spec.layout.world_size())));
  cost.nodes = std::ceil(cost.devices / cluster.devices_per_node);
  cost.storage = storage_cost(spec, cost.nodes, cost.tokens);
  TERA_TRY_VOID(add_goodput(spec, step.step_s, cost));

  cost.run_s = step.step_s * cost.steps / cost.goodput;
  cost.device_hours = cost.run_s / 3600 * cost.devices;
  add_energy_and_money(cluster, step.busy_share, cost);
  cost.kept_bytes = cost.storage.checkpoint_bytes * spec.training.keep_checkpoints;
  const auto tokens_per_step = static_cast<double>(spec.tokens_per_step());
  cost.data_bytes_per_s = tokens_per_step / step.step_s * cost.storage.bytes_per_token;

  cost.flops = cost.tokens * step.flops_per_token;
  cost.chinchilla_tokens = optimal_tokens(chinchilla_law(), step.active_params);
  cost.optimal_tokens =
      cost.chinchilla_tokens * expert_factor(expert_ratio(spec.model), step.active_params);
  return cost;
}

Result<RunCost> plan_cost(const spec::RunSpec& spec, const StepFigures& step) {
  TERA_TRY(RunCost cost, run_figures(spec, step));
  cost.terms = cost_terms(spec, step, cost);
  return cost;
}

}  // namespace tera::plan
