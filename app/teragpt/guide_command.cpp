// teragpt guide PAGE: the figures of a page of the guide, as this build plans them.
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/markdown.h"
#include "app/teragpt/published_file.h"
#include "app/teragpt/validation_page.h"
#include "core/base/resources.h"
#include "core/base/units.h"
#include "core/plan/known_runs.h"
#include "core/plan/scale_claims.h"
#include "core/plan/validation.h"
#include "core/spec/presets.h"
#include "core/spec/suggest.h"

namespace tera::app {
namespace {

// What a page has, or nothing after saying why.
std::optional<std::string> shown(Cli& cli, const Result<std::string>& figures) {
  if (figures) return *figures;
  cli.fail(figures.error());
  return std::nullopt;
}

struct Planned {
  const plan::ScaleClaim* claim = nullptr;
  spec::RunSpec spec;
  plan::Estimate estimate;
};

Result<std::vector<Planned>> planned_claims() {
  std::vector<Planned> all;
  for (const plan::ScaleClaim& claim : plan::scale_claims()) {
    TERA_TRY(spec::RunPreset preset, spec::run_preset(claim.run));
    TERA_TRY(plan::Estimate estimate, plan::estimate(preset.spec));
    all.push_back({&claim, std::move(preset.spec), std::move(estimate)});
  }
  return all;
}

MarkdownRow row(std::string name,
                const std::vector<Planned>& all,
                const std::function<std::string(const Planned&)>& cell) {
  MarkdownRow made{{std::move(name)}};
  for (const Planned& one : all)
    made.cells.push_back(cell(one));
  return made;
}

// A figure at the low and at the high end of a row of the quoted table.
template <class Format>
std::string both_ends(const Planned& p,
                      double plan::ImpliedFigures::*figure,
                      const Format& format) {
  return fmt::format("{} to {}", format(implied_figures(p.claim->low, p.estimate).*figure),
                     format(implied_figures(p.claim->high, p.estimate).*figure));
}

std::string quoted(const plan::ScaleClaim& claim) {
  return fmt::format("{:.0f} to {:.0f} H100, {:.0f} to {:.0f} months, {} to {}", claim.low.devices,
                     claim.high.devices, claim.low.months, claim.high.months,
                     format_money(claim.low.usd), format_money(claim.high.usd));
}

std::string needed(double tokens, const Planned& p) {
  const plan::NeededFigures figures = plan::needed_figures(tokens, p.estimate);
  return fmt::format("{} tokens: {} GPU-hours, {:.1f} days, {}", format_count(figures.tokens),
                     format_count(figures.device_hours), figures.days, format_money(figures.usd));
}

Result<std::string> scale_table() {
  TERA_TRY(const std::vector<Planned> all, planned_claims());
  const auto price = [](double usd) { return format_money(usd); };
  const auto times = [](double value) { return fmt::format("{:.1f} x", value); };
  using Implied = plan::ImpliedFigures;
  std::vector<MarkdownRow> implied = {
      row("quoted", all, [](const Planned& p) { return std::string(p.claim->name); }),
      row("GPUs, months, money", all, [](const Planned& p) { return quoted(*p.claim); }),
      row("GPU-hours", all,
          [](const Planned& p) { return both_ends(p, &Implied::device_hours, format_count); }),
      row("price of a GPU-hour", all,
          [&](const Planned& p) { return both_ends(p, &Implied::usd_per_device_hour, price); }),
      row("tokens trained in that time", all,
          [](const Planned& p) { return both_ends(p, &Implied::tokens, format_count); }),
      row("tokens for each active parameter", all,
          [](const Planned& p) {
            return both_ends(p, &Implied::tokens_per_active_param, format_count);
          }),
      row("of the compute-optimal tokens", all,
          [&](const Planned& p) { return both_ends(p, &Implied::optimal_multiple, times); }),
      row("utilization, were they the compute-optimal ones", all, [](const Planned& p) {
        return both_ends(p, &Implied::optimal_utilization, format_percent);
      })};
  constexpr double kTodaysTokens = 15e12;  // Llama 3 405B: 15.6 T; DeepSeek-V3: 14.8 T
  std::vector<MarkdownRow> planned = {
      row("planned", all, [](const Planned& p) { return std::string(p.claim->name); }),
      row("preset", all, [](const Planned& p) { return fmt::format("`{}`", p.claim->run); }),
      row("parameters, in use for a token", all,
          [](const Planned& p) {
            return fmt::format("{}, {}", format_count(static_cast<double>(p.estimate.params.total)),
                               format_count(static_cast<double>(p.estimate.params.active)));
          }),
      row("devices", all,
          [](const Planned& p) {
            return fmt::format("{} x {}", format_integer(p.spec.layout.world_size()),
                               p.spec.cluster.device.name);
          }),
      row("utilization x goodput", all,
          [](const Planned& p) {
            return fmt::format("{} x {}", format_percent(p.estimate.model_flops_utilization),
                               format_percent(p.estimate.cost.goodput));
          }),
      row("compute-optimal", all,
          [](const Planned& p) { return needed(p.estimate.cost.optimal_tokens, p); }),
      row("as many as today's models", all,
          [](const Planned& p) { return needed(kTodaysTokens, p); })};
  return markdown_table(implied) + "\n" + markdown_table(planned);
}

std::string quantity(plan::Reported what, double value) {
  using enum plan::Reported;
  switch (what) {
    case params:
      return fmt::format("{} parameters", format_count(value));
    case step_s:
      return fmt::format("{:.1f} s per step", value);
    case hardware_flops_per_s:
      return fmt::format("{} per GPU", format_rate(value, "FLOP/s"));
    case utilization:
      return fmt::format("{} of peak", format_percent(value));
    case run_hours:
      return fmt::format("{} h", format_integer(static_cast<std::int64_t>(value)));
    case device_hours:
      return fmt::format("{} GPU-hours", format_count(value));
    case device_hours_per_t:
      return fmt::format("{} GPU-hours per trillion tokens", format_count(value));
  }
  return {};
}

Result<std::string> known_runs() {
  std::vector<MarkdownRow> rows = {
      {{"run", "published", "predicted", "difference", "published by"}}};
  for (const plan::KnownRun& run : plan::known_runs()) {
    TERA_TRY(const spec::RunSpec spec, plan::known_spec(run));
    TERA_TRY(const plan::Estimate estimate, plan::estimate(spec));
    const double value = plan::predicted(run, spec, estimate);
    rows.push_back(
        {{std::string(run.name), quantity(run.what, run.published), quantity(run.what, value),
          fmt::format("{:+.1f} %", 100 * (value / run.published - 1)), std::string(run.source)}});
  }
  TERA_TRY(const plan::KnownNotes notes, plan::known_notes());
  const std::vector<MarkdownRow> referred = {
      {{"for the notes below", ""}},
      {{"all steps of GPT-NeoX-20B at the published FLOP/s",
        fmt::format("{} h", format_integer(std::llround(notes.neox_hours)))}},
      {{"DeepSeek-V3 with whole layers recomputed",
        fmt::format("{:+.0f} %", 100 * notes.deepseek_recomputed)}},
      {{"ZeRO-Infinity, memory of a device",
        fmt::format("{} of {}", format_bytes(notes.infinity_bytes),
                    format_bytes(notes.infinity_capacity_bytes))}},
      {{"of it, weights of gathered layers", format_bytes(notes.infinity_gathered_bytes)}}};
  return markdown_table(rows) + "\n" + markdown_table(referred);
}

// Every row of the published measurements, as the values in use predict it.
std::optional<std::string> validation(Cli& cli) {
  const Result<std::filesystem::path> path = resource_path("validation/published.csv");
  if (!path) return shown(cli, tl::unexpected(path.error()));
  const auto table = read_published_rows(cli, path->string());
  if (!table) return std::nullopt;
  const Result<plan::PublishedPresets> presets = plan::load_published_presets();
  if (!presets) return shown(cli, tl::unexpected(presets.error()));
  std::vector<plan::RowPrediction> rows;
  for (const plan::PublishedRow& row : *table)
    rows.push_back(plan::predict_row(row, *presets));
  return validation_tables(rows);
}

struct Page {
  std::string_view name;
  std::optional<std::string> (*figures)(Cli&);  // nothing after saying why
};
constexpr std::array<Page, 3> kPages = {
    {{"scale-table", [](Cli& cli) { return shown(cli, scale_table()); }},
     {"known-runs", [](Cli& cli) { return shown(cli, known_runs()); }},
     {"validation", validation}}};

void print_page(Cli& cli, const std::string& name) {
  std::vector<std::string_view> names;
  for (const Page& page : kPages)
    names.push_back(page.name);
  for (const Page& page : kPages) {
    if (page.name != name) continue;
    const std::optional<std::string> figures = page.figures(cli);
    if (!figures) return;
    if (cli.json) {
      cli.print_json({{"schema", "teragpt.guide/1"}, {"page", name}, {"markdown", *figures}});
    } else {
      fmt::print("{}", *figures);
    }
    return;
  }
  const auto nearest = spec::nearest_word(name, names);
  cli.fail({ErrorCode::invalid_input, fmt::format("no page '{}' of the guide has figures", name),
            nearest ? fmt::format("did you mean {}?", *nearest) : "use " + spec::one_of(names)});
}

}  // namespace

void add_guide_command(CLI::App& root, Cli& cli) {
  auto page = std::make_shared<std::string>();
  CLI::App* verb =
      root.add_subcommand("guide", "Figures of a page of the guide, as this build plans them");
  verb->add_option("PAGE", *page, "scale-table, known-runs or validation")->required();
  verb->footer(
      "Examples:\n"
      "  teragpt guide scale-table\n"
      "  teragpt guide known-runs\n"
      "  teragpt guide validation\n"
      "The pages with their words are in resources/guide.");
  verb->callback([page, &cli] { print_page(cli, *page); });
}

}  // namespace tera::app
