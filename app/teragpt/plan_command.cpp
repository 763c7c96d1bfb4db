// teragpt plan: memory, time, cost and energy of a spec, each a tree of explained terms.
#include <algorithm>
#include <cctype>
#include <memory>
#include <set>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/inference_report.h"
#include "app/teragpt/plan_report.h"
#include "app/teragpt/spec_json.h"
#include "core/plan/explained_terms.h"
#include "core/plan/origins.h"
#include "core/spec/cluster_origins.h"
#include "core/spec/suggest.h"
#include "core/spec/validate.h"

namespace tera::app {
namespace {

struct PlanOptions {
  std::string file;
  std::string explain;
  std::vector<std::string> overrides;
  bool inference = false;
};

nlohmann::ordered_json plan_json(const spec::RunSpec& spec,
                                 const plan::Estimate& e,
                                 const std::vector<Diagnostic>& diagnostics) {
  nlohmann::ordered_json document;
  document["schema"] = "teragpt.plan/1";
  document["name"] = spec.name;
  document["model"] = {{"total_params", e.params.total},
                       {"active_params", e.params.active},
                       {"trainable_params", e.trainable_params},
                       {"flops_per_token", e.train_flops_per_token}};
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  for (const plan::StageMemory& stage : e.stages) {
    stages.push_back({{"stage", stage.stage},
                      {"bytes", stage.bytes()},
                      {"low_bytes", stage.low_bytes},
                      {"high_bytes", stage.high_bytes},
                      {"host_bytes", stage.host_bytes},
                      {"nvme_bytes", stage.nvme_bytes},
                      {"terms", child_values(stage.memory)}});
  }
  const std::int64_t ranks_per_stage =
      spec.layout.world_size() / spec.layout.pipeline_parallel_size;
  document["memory"] = {{"capacity_bytes", e.capacity_bytes},
                        {"fits", e.fits},
                        {"worst_rank", e.worst_stage * ranks_per_stage},
                        {"worst_stage", e.worst_stage},
                        {"worst_bytes", e.worst_bytes},
                        {"worst_low_bytes", e.worst_low_bytes},
                        {"worst_high_bytes", e.worst_high_bytes},
                        {"host_bytes_per_node", e.host_bytes},
                        {"host_capacity_bytes", e.host_capacity_bytes},
                        {"nvme_bytes_per_node", e.nvme_bytes},
                        {"nvme_capacity_bytes", e.nvme_capacity_bytes},
                        {"stages", std::move(stages)}};
  document["time"] = {{"step_s", e.step_s},
                      {"low_s", e.low_s},
                      {"high_s", e.high_s},
                      {"tokens_per_s", e.tokens_per_s},
                      {"tokens_per_s_per_gpu", e.tokens_per_s_per_device},
                      {"mfu", e.model_flops_utilization},
                      {"terms", child_values(e.step_time)}};
  constexpr double kSecondsPerDay = 86400;
  const plan::RunCost& cost = e.cost;
  document["cost"] = {{"tokens", cost.tokens},
                      {"days", cost.run_s / kSecondsPerDay},
                      {"gpu_hours", cost.device_hours},
                      {"usd", cost.usd},
                      {"usd_rented", cost.usd_rented},
                      {"usd_owned", cost.usd_owned},
                      {"kwh", cost.kwh},
                      {"tco2e", cost.tco2e},
                      {"goodput", cost.goodput},
                      {"best_goodput", cost.best_goodput},
                      {"mtbf_s", cost.mtbf_s},
                      {"checkpoint_interval_s", cost.checkpoint_interval_s},
                      {"best_checkpoint_interval_s", cost.best_interval_s},
                      {"checkpoint_bytes", cost.storage.checkpoint_bytes},
                      {"checkpoint_write_s", cost.storage.write_s},
                      {"data_bytes_per_s", cost.data_bytes_per_s},
                      {"flops", cost.flops},
                      {"compute_optimal_tokens", cost.chinchilla_tokens},
                      {"compute_optimal_tokens_with_experts", cost.optimal_tokens}};
  document["diagnostics"] = to_json(diagnostics);
  return document;
}

const char* name_of(spec::Origin origin) {
  return enum_name(origin).data();
}

// The numbers of a document, each with its origin, by what they become when inputs move; texts and
// truths have none.
nlohmann::ordered_json origins_of(const nlohmann::ordered_json& document,
                                  const nlohmann::ordered_json& if_measured_move,
                                  const nlohmann::ordered_json& if_calibrated_move) {
  if (document.is_number()) {
    const auto number = [](const nlohmann::ordered_json& value) { return value.get<double>(); };
    return name_of(
        plan::origin_of(number(document), number(if_measured_move), number(if_calibrated_move)));
  }
  nlohmann::ordered_json origins;
  for (const auto& [key, value] : document.items()) {
    if (value.is_number() || value.is_structured())
      origins[key] = origins_of(value, if_measured_move.value(key, value),
                                if_calibrated_move.value(key, value));
  }
  return origins;
}

// Of memory, as its terms are tagged; of the rest, as its numbers move.
nlohmann::ordered_json origins_json(const spec::RunSpec& spec,
                                    const plan::Estimate& e,
                                    const plan::MovedEstimates& moved) {
  const auto document = plan_json(spec, e, {});
  const auto measured = plan_json(spec, moved.measured, {});
  const auto calibrated = plan_json(spec, moved.calibrated, {});
  nlohmann::ordered_json origins;
  for (const char* part : {"model", "time", "cost"})
    origins[part] = origins_of(document.at(part), measured.at(part), calibrated.at(part));
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  for (const plan::StageMemory& stage : e.stages) {
    nlohmann::ordered_json terms = nlohmann::ordered_json::object();
    for (const plan::Term& term : stage.memory.children)
      terms[term.label] = name_of(term.origin);
    stages.push_back({{"bytes", name_of(stage.memory.origin)}, {"terms", std::move(terms)}});
  }
  const plan::Term& worst = e.stages[static_cast<std::size_t>(e.worst_stage)].memory;
  origins["memory"] = {{"worst_bytes", name_of(worst.origin)}, {"stages", std::move(stages)}};
  return origins;
}

nlohmann::ordered_json origins_json(const spec::RunSpec& spec,
                                    const plan::InferenceEstimate& e,
                                    const plan::MovedInference& moved) {
  const auto document = inference_json(spec, e);
  const auto measured = inference_json(spec, moved.measured);
  const auto calibrated = inference_json(spec, moved.calibrated);
  nlohmann::ordered_json origins;
  for (const char* part : {"memory", "time", "cost"}) {
    if (!document.contains(part)) continue;  // of what does not fit
    const auto& same = document.at(part);
    origins[part] = origins_of(same, measured.value(part, same), calibrated.value(part, same));
  }
  return origins;
}

std::string lower(std::string text) {
  for (char& c : text)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Paths of the terms meant: the one at that path, or all with that label, in any case of letters.
// What single stages have is meant only where nothing else is called so.
std::vector<std::string> paths_meant(const plan::Term& root, const std::string& wanted) {
  if (plan::find_term(root, wanted) != nullptr) return {wanted};
  if (lower(root.label) == lower(wanted)) return {""};
  std::vector<std::string> meant;
  for (const std::string& path : plan::term_paths(root)) {
    if (lower(path.substr(path.rfind('/') + 1)) != lower(wanted)) continue;
    if (!path.starts_with("stage ") || meant.empty()) meant.push_back(path);
  }
  return meant;
}

// Up to three labels, or paths where a path was asked for, that are nearly what was asked for.
std::vector<std::string> names_like(const plan::Term& root, const std::string& wanted) {
  const bool is_path = wanted.find('/') != std::string::npos;
  const std::vector<std::string> paths = plan::term_paths(root);
  std::set<std::string_view> names;
  for (const std::string_view path : paths)
    names.insert(is_path ? path : path.substr(path.rfind('/') + 1));
  std::vector<std::string> like;
  constexpr std::size_t kMost = 3;
  while (like.size() < kMost) {
    const auto nearest = spec::nearest_word(wanted, {names.begin(), names.end()});
    if (!nearest) break;
    like.push_back("'" + *nearest + "'");
    names.erase(names.find(*nearest));
  }
  return like;
}

void explain(Cli& cli, const plan::Term& root, const std::string& wanted) {
  const std::vector<std::string> meant = paths_meant(root, wanted);
  if (meant.empty()) {
    const std::vector<std::string> like = names_like(root, wanted);
    std::vector<std::string_view> roots;
    for (const plan::Term& child : root.children)
      if (!child.label.starts_with("stage ")) roots.push_back(child.label);
    return cli.fail(
        {ErrorCode::invalid_input, fmt::format("--explain {}: no such term", wanted),
         like.empty() ? fmt::format("use {}, or a path such as {}/{}", spec::one_of(roots),
                                    root.children[0].label, root.children[0].children[0].label)
                      : fmt::format("did you mean {}?", spec::one_of({like.begin(), like.end()}))});
  }
  const plan::Term& term = *plan::find_term(root, meant[0]);
  if (cli.json) {
    nlohmann::ordered_json document;
    document["schema"] = "teragpt.explain/1";
    document["path"] = meant[0];
    document["term"] = to_json(term);
    return cli.print_json(document);
  }
  fmt::print("{}", term_text(term));
  if (meant.size() == 1) return;
  fmt::print(stderr, "this is {}; also called so: {}\n", meant[0],
             fmt::join(meant.begin() + 1, meant.end(), ", "));
}

void plan_serving(Cli& cli, const PlanOptions& options, const spec::RunSpec& spec) {
  Result<plan::InferenceEstimate> e = plan::plan_inference(spec);
  if (!e) return cli.fail(e.error());
  const Result<plan::MovedInference> moved = plan::moved_inference(spec, e->layout);
  if (!moved) return cli.fail(moved.error());
  plan::tag_origins(*moved, *e);
  cli.exit_code = e->fits ? exit_done : exit_no;
  if (!options.explain.empty()) {
    cli.exit_code = exit_done;
    explain(cli, e->terms, options.explain);
  } else if (cli.json) {
    nlohmann::ordered_json document = inference_json(spec, *e);
    document["origins"] = origins_json(spec, *e, *moved);
    cli.print_json(document);
  } else {
    fmt::print("{}", inference_text(spec, *e));
  }
}

void plan_spec(Cli& cli, const PlanOptions& options) {
  const spec::ParsedSpec parsed = spec::load_and_validate(options.file, options.overrides);
  if (!parsed.ok()) {
    cli.report(options.file, parsed.diagnostics);
    return;
  }
  if (options.inference) return plan_serving(cli, options, parsed.spec);
  Result<plan::Estimate> e = plan::estimate(parsed.spec);
  if (!e) return cli.fail(e.error());
  const spec::ClusterOrigins origins = spec::cluster_origins(parsed.spec.cluster);
  const Result<plan::MovedEstimates> moved = plan::moved_estimates(parsed.spec, origins);
  if (!moved) return cli.fail(moved.error());
  plan::tag_origins(parsed.spec, origins, *moved, *e);
  // Findings of the text with their lines, then what only the estimate knows.
  std::vector<Diagnostic> all = parsed.diagnostics;
  for (const Diagnostic& d : e->diagnostics) {
    const bool known = std::any_of(all.begin(), all.end(), [&d](const Diagnostic& other) {
      return other.field == d.field && other.message == d.message;
    });
    if (!known) all.push_back(d);
  }
  cli.report(options.file, all);
  cli.exit_code = e->fits ? exit_done : exit_no;
  if (!options.explain.empty()) {
    cli.exit_code = exit_done;
    explain(cli, plan::explained_terms(parsed.spec, *e), options.explain);
  } else if (cli.json) {
    nlohmann::ordered_json document = plan_json(parsed.spec, *e, all);
    document["time"]["basis"] = basis_json(e->basis);
    document["origins"] = origins_json(parsed.spec, *e, *moved);
    cli.print_json(document);
  } else {
    fmt::print("{}", plan_text(parsed.spec, *e));
  }
}

}  // namespace

void add_plan_command(CLI::App& root, Cli& cli) {
  auto options = std::make_shared<PlanOptions>();
  CLI::App* verb =
      root.add_subcommand("plan", "Memory, time, cost and energy of a spec, explained");
  verb->add_option("SPEC", options->file, "Run spec (YAML)")->required();
  verb->add_option("--explain", options->explain, "Print one term with formula, inputs and source")
      ->type_name("TERM");
  verb->add_flag("--inference", options->inference,
                 "Serving the trained model instead: memory, speed and price of a replica");
  add_set_option(*verb, options->overrides);
  verb->footer(
      "Examples:\n"
      "  teragpt plan my-run.yaml --set layout.expert_parallel_size=16\n"
      "  teragpt plan my-run.yaml --explain memory/activations\n"
      "  teragpt plan my-run.yaml --inference --set inference.prompt_tokens=8k\n"
      "Exit code 1: it does not fit.");
  verb->callback([options, &cli] { plan_spec(cli, *options); });
}

}  // namespace tera::app
