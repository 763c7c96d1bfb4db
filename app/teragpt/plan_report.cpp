#include "app/teragpt/plan_report.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/plan/compute_optimal.h"
#include "core/plan/layout_text.h"

namespace tera::app {
namespace {

std::string bar(double share) {
  constexpr double kWidth = 20;
  return std::string(static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * kWidth + 0.5), '#');
}

// First, worst and last stages; all when there are few.
std::set<int> stages_to_show(const plan::Estimate& e) {
  const int count = static_cast<int>(e.stages.size());
  std::set<int> shown;
  constexpr int kFew = 6;
  for (int i = 0; i < std::min(count, count <= kFew ? kFew : 2); ++i)
    shown.insert(i);
  shown.insert(e.worst_stage);
  if (count > 1) shown.insert(count - 1);
  return shown;
}

// A row for each kind that is something on some stage, a column for each stage shown.
std::string memory_table(const plan::Estimate& e) {
  const std::set<int> shown = stages_to_show(e);
  const auto stage_of = [&e](int stage) -> const plan::StageMemory& {
    return e.stages[static_cast<std::size_t>(stage)];
  };
  const auto row = [&](const std::string& label, const auto& cell) {
    std::string text = fmt::format("  {:<16}", label);
    int before = -1;
    for (const int stage : shown) {
      text += fmt::format("{}{:>13}", stage != before + 1 ? "  ..." : "", cell(stage));
      before = stage;
    }
    return text + "\n";
  };
  std::string text = row("", [&e](int stage) {
    return fmt::format("stage {}{}", stage,
                       stage == e.worst_stage && e.stages.size() > 1 ? " <" : "");
  });
  const std::vector<plan::Term>& kinds = e.stages.front().memory.children;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    const auto bytes = [&](int stage) { return stage_of(stage).memory.children[i].value; };
    if (std::none_of(shown.begin(), shown.end(), [&](int stage) { return bytes(stage) > 0; }))
      continue;
    text += row(kinds[i].label, [&](int stage) { return format_bytes(bytes(stage)); });
  }
  text += row("total", [&](int stage) { return format_bytes(stage_of(stage).bytes()); });
  text += row("likely from", [&](int stage) { return format_bytes(stage_of(stage).low_bytes); });
  return text +
         row("likely to", [&](int stage) { return format_bytes(stage_of(stage).high_bytes); });
}

std::string memory_text(const plan::Estimate& e) {
  const double share = e.capacity_bytes > 0 ? e.worst_bytes / e.capacity_bytes : 0;
  std::string text = fmt::format("Memory    {} of {} per device, {}: {}\n",
                                 format_bytes(e.worst_bytes), format_bytes(e.capacity_bytes),
                                 format_percent(share), e.fits ? "fits" : "DOES NOT FIT");
  const auto place = [&text](const char* name, double bytes, double capacity) {
    if (bytes > 0)
      text += fmt::format("{:<10}{} of {} per node\n", name, format_bytes(bytes),
                          format_bytes(capacity));
  };
  text += memory_table(e);
  place("Host", e.host_bytes, e.host_capacity_bytes);
  place("Disks", e.nvme_bytes, e.nvme_capacity_bytes);
  return text;
}

void time_lines(const plan::Term& term, double whole, int depth, std::string& text) {
  const double share = whole > 0 ? term.value / whole : 0;
  const std::string label = std::string(static_cast<std::size_t>(2 * depth), ' ') + term.label;
  const std::string shown = depth == 1 ? "  " + bar(share) : std::string();
  text += fmt::format("{:<28}{:>14}{:>9}{}\n", label, format_seconds(term.value),
                      format_percent(share), shown);
  for (const plan::Term& child : term.children)
    time_lines(child, whole, depth + 1, text);
}

std::string time_text(const plan::Estimate& e) {
  std::string text = fmt::format("Step      {}, likely {} to {}\n", format_seconds(e.step_s),
                                 format_seconds(e.low_s), format_seconds(e.high_s));
  text += fmt::format("Basis     {}\n", e.basis.text);
  for (const plan::Term& child : e.step_time.children) {
    if (child.value > 0) time_lines(child, e.step_s, 1, text);
  }
  text += fmt::format("Speed     {} tokens/s, {} per device; model FLOPs utilization {}\n",
                      format_count(e.tokens_per_s), format_count(e.tokens_per_s_per_device),
                      format_percent(e.model_flops_utilization));
  return text;
}

std::string cost_text(const spec::RunSpec& spec, const plan::RunCost& cost) {
  std::string text = fmt::format(
      "Run       {} tokens in {} steps: {}{}\n", format_count(cost.tokens),
      format_integer(spec.training.num_steps), format_seconds(cost.run_s),
      cost.goodput < 1 ? fmt::format(" at {} goodput", format_percent(cost.goodput)) : "");
  if (cost.mtbf_s > 0) {
    text += fmt::format("Failures  one every {}, checkpoint every {} (best {})\n",
                        format_seconds(cost.mtbf_s), format_seconds(cost.checkpoint_interval_s),
                        format_seconds(cost.best_interval_s));
  }
  text +=
      fmt::format("Storage   checkpoint {}, written in {}; tokens read at {}\n",
                  format_bytes(cost.storage.checkpoint_bytes), format_seconds(cost.storage.write_s),
                  format_rate(cost.data_bytes_per_s, "B/s"));
  text +=
      fmt::format("Compute   {}, {} of the 1e25 of the EU AI Act; compute-optimal {} tokens{}\n",
                  format_quantity(cost.flops, "flop"),
                  format_percent(cost.flops / plan::kSystemicRiskFlops.value),
                  format_count(cost.chinchilla_tokens),
                  spec.model.num_experts > 0
                      ? fmt::format(", with experts {}", format_count(cost.optimal_tokens))
                      : "");
  text += fmt::format("Cost      {} of devices, {} {}, {}, {}\n", format_hours(cost.device_hours),
                      format_money(cost.usd), enum_name(spec.cluster.operation.payment),
                      format_energy(cost.kwh), format_emissions(cost.tco2e));
  return text;
}

void term_lines(const plan::Term& term, int depth, std::string& text) {
  const std::string indent(static_cast<std::size_t>(2 * depth), ' ');
  const std::string value =
      term.unit.empty() && term.value == 0 ? "" : format_quantity(term.value, term.unit);
  text += fmt::format("{:<40}{:>14}{}\n", indent + term.label, value,
                      value.empty() ? "" : fmt::format("  {}", enum_name(term.origin)));
  if (!term.formula.empty()) text += fmt::format("{}    = {}\n", indent, term.formula);
  if (!term.source.empty()) text += fmt::format("{}    source: {}\n", indent, term.source);
  for (const plan::Term& child : term.children)
    term_lines(child, depth + 1, text);
}

}  // namespace

std::string plan_text(const spec::RunSpec& spec, const plan::Estimate& e) {
  const std::int64_t ranks = spec.layout.world_size();
  std::string text = fmt::format("{}\n", spec.name);
  text += fmt::format("Model     {} parameters, {} per token, {} per token and step\n",
                      format_count(static_cast<double>(e.params.total)),
                      format_count(static_cast<double>(e.params.active)),
                      format_quantity(e.train_flops_per_token, "flop"));
  if (spec.lora.enabled()) {
    const auto trained = static_cast<double>(e.trainable_params);
    text += fmt::format("Adapters  {} parameters trained of rank {}, {:.3g} % of the model's\n",
                        format_count(trained), spec.lora.rank,
                        100 * trained / static_cast<double>(e.params.total));
  }
  text += fmt::format("Machine   {} on {} x {}\n", counted(ranks, "rank"),
                      format_integer(std::min(ranks, spec.cluster.num_devices())),
                      spec.cluster.device.name);
  text += fmt::format("Layout    {}\n          {} of {} x {} tokens\n\n",
                      plan::layout_text(spec.layout),
                      counted(spec.num_micro_batches(), "micro-batch", "es"),
                      spec.layout.micro_batch_size, format_integer(spec.training.seq_length));
  return text + memory_text(e) + "\n" + time_text(e) + cost_text(spec, e.cost);
}

std::string term_text(const plan::Term& term) {
  std::string text;
  term_lines(term, 0, text);
  return text;
}

nlohmann::ordered_json basis_json(const plan::TimeBasis& basis) {
  return {{"origin", enum_name(basis.origin)},
          {"left_out_error", basis.left_out_error ? nlohmann::ordered_json(*basis.left_out_error)
                                                  : nlohmann::ordered_json(nullptr)},
          {"text", basis.text}};
}

}  // namespace tera::app
