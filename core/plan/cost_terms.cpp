// The cost of a run as explained terms.
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/compute_optimal.h"
#include "core/plan/cost_model.h"
#include "core/plan/grid_regions.h"

namespace tera::plan {
namespace {

Term money_term(const spec::Cluster& cluster, const RunCost& cost) {
  const spec::Operation& operation = cluster.operation;
  const std::string hours = format_hours(cost.device_hours) + " of devices";
  Term rented = leaf_term("usd rented", cost.usd_rented, "USD",
                          fmt::format("{} x {:.4g} USD/h", hours, cluster.device.price_usd_per_h),
                          "cluster.device.price_usd_per_h");
  Term capital = leaf_term(
      "capital", cost.capital_usd, "USD",
      fmt::format("{} x {} / {:.3g} years of 8,766 h", hours,
                  format_money(operation.capital_usd_per_device), operation.service_years),
      "straight-line depreciation; cluster.operation.capital_usd_per_device, service_years");
  Term electricity = leaf_term("electricity", cost.electricity_usd, "USD",
                               fmt::format("{} x {:.3g} USD/kWh", format_energy(cost.kwh),
                                           operation.electricity_usd_per_kwh),
                               "cluster.operation.electricity_usd_per_kwh");
  Term owned = sum_term("usd owned", "USD", {std::move(capital), std::move(electricity)});
  owned.source = "machines in use all the time; staff and building not counted";
  const bool is_owned = operation.payment == spec::Payment::owned;
  Term money = leaf_term(
      "usd", cost.usd, "USD",
      is_owned ? fmt::format("usd owned: {} capital + {} electricity",
                             format_money(cost.capital_usd), format_money(cost.electricity_usd))
               : rented.formula,
      "cluster.operation.payment: the first or the second below");
  money.children = {std::move(rented), std::move(owned)};
  return money;
}

Term energy_term(const spec::Cluster& cluster, double busy_share, const RunCost& cost) {
  const spec::DeviceSpec& device = cluster.device;
  const std::string hours = format_hours(cost.device_hours) + " of devices";
  Term devices = leaf_term(
      "device energy", cost.device_kwh, "kWh",
      fmt::format("{} x ({:.0f} W idle + {} busy x {} goodput x {:.0f} W)", hours,
                  device.idle_power_w, format_percent(busy_share), format_percent(cost.goodput),
                  device.peak_power_w - device.idle_power_w),
      "cluster.device.idle_power_w, peak_power_w");
  Term hosts = leaf_term("host energy", cost.host_kwh, "kWh",
                         fmt::format("{} / {} per node x {:.0f} W", hours, cluster.devices_per_node,
                                     cluster.operation.node_power_w),
                         "cluster.operation.node_power_w");
  Term site = leaf_term("cooling and losses", cost.kwh - cost.device_kwh - cost.host_kwh, "kWh",
                        fmt::format("({:.3g} PUE - 1) x {}", cluster.power_usage_effectiveness,
                                    format_energy(cost.device_kwh + cost.host_kwh)),
                        "cluster.power_usage_effectiveness");
  Term energy = sum_term("kWh", "kWh", {std::move(devices), std::move(hosts), std::move(site)});
  energy.source = "of the run, with the time it loses";
  return energy;
}

Term emissions_term(const spec::Cluster& cluster, const RunCost& cost) {
  const auto of_grid = [&cost](double gco2_per_kwh) {
    return fmt::format("{} x {:.4g} gCO2e/kWh", format_energy(cost.kwh), gco2_per_kwh);
  };
  Term term = leaf_term("tCO2e", cost.tco2e, "tCO2e", of_grid(cluster.grid_gco2_per_kwh),
                        "cluster.grid_gco2_per_kwh; below, the same run in other grids");
  for (const GridRegion& region : grid_regions()) {
    term.children.push_back(leaf_term(fmt::format("in {}", region.name),
                                      cost.kwh * region.gco2_per_kwh * 1e-6, "tCO2e",
                                      of_grid(region.gco2_per_kwh), std::string(region.source)));
  }
  return term;
}

Term goodput_term(const spec::RunSpec& spec, const RunCost& cost) {
  const spec::Operation& operation = spec.cluster.operation;
  if (cost.mtbf_s <= 0) {
    return leaf_term("goodput", cost.goodput, "1",
                     fmt::format("{} / ({} + {} stall)", format_seconds(cost.checkpoint_interval_s),
                                 format_seconds(cost.checkpoint_interval_s),
                                 format_seconds(operation.checkpoint_stall_s)),
                     "cluster.operation.device_hours_per_failure is 0: nothing fails");
  }
  Term term =
      leaf_term("goodput", cost.goodput, "1",
                "T / (M e^(R / M) (e^((T + d) / M) - 1)): T interval, M time between failures, R "
                "recovery and write, d stall",
                "Daly 2006, equation 20");
  term.children = {
      leaf_term("time between failures", cost.mtbf_s, "s",
                fmt::format("{} of one device / {:.0f} devices",
                            format_hours(operation.device_hours_per_failure), cost.devices),
                "cluster.operation.device_hours_per_failure; Llama Team 2024, section 3.3.4: 419 "
                "unexpected interruptions of 16,384 GPUs in 54 days"),
      leaf_term(
          "recovery", cost.recover_s, "s",
          fmt::format("{} to detect + {} to restart + {} to read the checkpoint",
                      format_seconds(operation.detection_s), format_seconds(operation.restart_s),
                      format_seconds(cost.storage.read_s)),
          "cluster.operation.detection_s, restart_s; Jiang et al. 2024, MegaScale, section 6.3"),
      leaf_term("checkpoint stall", operation.checkpoint_stall_s, "s",
                fmt::format("{} once per interval", format_seconds(operation.checkpoint_stall_s)),
                "cluster.operation.checkpoint_stall_s"),
      leaf_term("checkpoint interval", cost.checkpoint_interval_s, "s",
                fmt::format("{} steps, no less than {} to write it",
                            format_integer(spec.training.checkpoint_interval > 0
                                               ? spec.training.checkpoint_interval
                                               : spec.training.num_steps),
                            format_seconds(cost.storage.write_s)),
                "training.checkpoint_interval"),
      leaf_term("best checkpoint interval", cost.best_interval_s, "s",
                fmt::format("sqrt(2 d M) (1 + sqrt(d / 2M) / 3 + d / 2M / 9) - d, d = {}, M = {}: "
                            "goodput {}",
                            format_seconds(operation.checkpoint_stall_s),
                            format_seconds(cost.mtbf_s), format_percent(cost.best_goodput)),
                "Daly 2006, equation 37; at least the time to write it")};
  return term;
}

Term storage_term(const spec::RunSpec& spec, const RunCost& cost) {
  const StorageCost& storage = cost.storage;
  Term term{.label = "storage",
            .value = cost.kept_bytes + storage.data_bytes,
            .unit = "B",
            .formula = "checkpoints kept + token files",
            .source = "what stays on storage; below it, what one checkpoint and reading take",
            .children = {}};
  term.children = {
      leaf_term("checkpoint", storage.checkpoint_bytes, "B",
                fmt::format(
                    "{} parameters x {:.3g} B", format_count(storage.params_saved),
                    storage.params_saved > 0 ? storage.checkpoint_bytes / storage.params_saved : 0),
                "weights, the rest of their masters, moments; core/checkpoint/FORMAT.md"),
      leaf_term("checkpoints kept", cost.kept_bytes, "B",
                fmt::format("{} x {}", spec.training.keep_checkpoints,
                            format_bytes(storage.checkpoint_bytes)),
                "training.keep_checkpoints"),
      leaf_term("checkpoint write", storage.write_s, "s",
                fmt::format("{} / ({:.0f} nodes x {})", format_bytes(storage.checkpoint_bytes),
                            cost.nodes, format_rate(storage.write_bytes_per_s / cost.nodes, "B/s")),
                "cluster.operation.storage_write_bytes_per_s; beside training"),
      leaf_term("checkpoint read", storage.read_s, "s",
                fmt::format("{} / ({:.0f} nodes x {})", format_bytes(storage.checkpoint_bytes),
                            cost.nodes, format_rate(storage.read_bytes_per_s / cost.nodes, "B/s")),
                "cluster.operation.storage_read_bytes_per_s"),
      leaf_term(
          "token files", storage.data_bytes, "B",
          fmt::format("{} tokens x {:.0f} B", format_count(cost.tokens), storage.bytes_per_token),
          "u16 below 65,500 words, else i32; core/data/FORMAT.md"),
      leaf_term("token reading", cost.data_bytes_per_s, "B/s",
                fmt::format("{} tokens per step x {:.0f} B: {} of what storage reads",
                            format_integer(spec.tokens_per_step()), storage.bytes_per_token,
                            format_percent(cost.data_bytes_per_s / storage.read_bytes_per_s)),
                "each sequence read once, by one rank of its replica")};
  return term;
}

Term compute_term(const spec::RunSpec& spec, const StepFigures& step, const RunCost& cost) {
  const double experts = expert_ratio(spec.model);
  const auto per_param = [&step](double tokens) {
    return fmt::format("{:.3g} for each of {} active parameters", tokens / step.active_params,
                       format_count(step.active_params));
  };
  Term term = leaf_term("training compute", cost.flops, "flop",
                        fmt::format("{} tokens x {}", format_count(cost.tokens),
                                    format_quantity(step.flops_per_token, "flop")),
                        "model FLOPs, recomputation not counted; model/flops per token");
  term.children = {
      leaf_term(
          "share of 1e25", cost.flops / kSystemicRiskFlops.value, "1",
          fmt::format("{} / 1e25 FLOP: {}", format_quantity(cost.flops, "flop"),
                      cost.flops > kSystemicRiskFlops.value ? "presumed systemic risk" : "below"),
          std::string(kSystemicRiskFlops.source)),
      leaf_term("tokens planned", cost.tokens, "tokens", per_param(cost.tokens),
                "training.num_steps x global_batch_size x seq_length"),
      leaf_term("compute-optimal tokens", cost.chinchilla_tokens, "tokens",
                per_param(cost.chinchilla_tokens), std::string(chinchilla_law().source)),
      leaf_term("compute-optimal tokens with experts", cost.optimal_tokens, "tokens",
                fmt::format("{} x {:.3g} for {:.3g} experts for each in use: {}",
                            format_count(cost.chinchilla_tokens),
                            cost.optimal_tokens / cost.chinchilla_tokens, experts,
                            per_param(cost.optimal_tokens)),
                std::string(joint_moe_law(experts).source))};
  return term;
}

}  // namespace

Term cost_terms(const spec::RunSpec& spec, const StepFigures& step, const RunCost& cost) {
  Term time = leaf_term(
      "time", cost.run_s, "s",
      fmt::format("{}{} x {} / {} goodput", format_integer(static_cast<std::int64_t>(cost.steps)),
                  spec.training.has_batch_ramp() ? " whole batches" : " steps",
                  format_seconds(step.step_s), format_percent(cost.goodput)),
      "tokens / (tokens per second x goodput)");
  Term hours =
      leaf_term("device hours", cost.device_hours, "h",
                fmt::format("{} x {:.0f} devices", format_seconds(cost.run_s), cost.devices),
                "time x devices");
  Term money = money_term(spec.cluster, cost);
  Term root =
      leaf_term("cost", cost.usd, "USD", money.formula, "what the run takes, figure by figure");
  root.children = {std::move(time),
                   std::move(hours),
                   std::move(money),
                   energy_term(spec.cluster, step.busy_share, cost),
                   emissions_term(spec.cluster, cost),
                   goodput_term(spec, cost),
                   storage_term(spec, cost),
                   compute_term(spec, step, cost)};
  return root;
}

}  // namespace tera::plan
