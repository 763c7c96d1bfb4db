#include "app/teragpt/bench_runs.h"

#include <memory>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/spec/own_runs.h"
#include "core/spec/presets.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

ordered_json row_json(const spec::OwnRun& run, const std::string& why_not) {
  return {{"run", run.run},
          {"name", run.name},
          {"precision", run.precision},
          {"time_s", run.time_s},
          {"planned_step_s", run.planned_s},
          {"step_s", run.step_s},
          {"spread", run.spread},
          {"steps", run.num_steps},
          {"counts", why_not.empty()},
          {"why_not", why_not}};
}

void print_runs(const std::vector<spec::OwnRun>& runs, const spec::ClusterPreset& machine) {
  if (runs.empty()) {
    fmt::print("No own runs yet: `teragpt train` notes the step times of each run.\n");
    return;
  }
  fmt::print("{:<26} {:<18} {:<9} {:>6} {:>10} {:>10} {:>8} {:>7}\n", "run", "name", "precision",
             "steps", "planned", "measured", "ratio", "spread");
  for (const spec::OwnRun& run : runs) {
    const std::string why_not = spec::why_not(run, machine.figures);
    fmt::print("{:<26} {:<18} {:<9} {:>6} {:>10} {:>10} {:>8.3f} {:>7}{}\n", printable(run.run),
               printable(run.name), printable(run.precision), run.num_steps,
               format_seconds(run.planned_s), format_seconds(run.step_s),
               run.step_s / run.planned_s, format_percent(run.spread),
               why_not.empty() ? "" : "  does not count: " + why_not);
  }
  if (machine.own_runs.num_runs > 0)
    fmt::print("this-machine is planned with {}\n", describe(machine.own_runs));
}

void bench_runs(Cli& cli, bool clear) {
  const std::filesystem::path path = spec::own_runs_path();
  if (clear) {
    if (const Result<void> cleared = spec::clear_own_runs(path); !cleared)
      return cli.fail(cleared.error());
  }
  const Result<std::string> text = spec::read_own_runs_text(path);
  if (!text) return cli.fail(text.error());
  const spec::OwnRuns known = spec::parse_own_runs(*text);
  const Result<spec::ClusterPreset> machine = spec::cluster_preset("this-machine");
  if (!machine) return cli.fail(machine.error());
  cli.report(path.string(), machine->notes);
  const spec::OwnRunsFit& fit = machine->own_runs;
  if (!cli.json) return print_runs(known.runs, *machine);
  ordered_json rows = ordered_json::array();
  for (const spec::OwnRun& run : known.runs)
    rows.push_back(row_json(run, spec::why_not(run, machine->figures)));
  cli.print_json({{"schema", "teragpt.bench/1"},
                  {"kind", "runs"},
                  {"rows", std::move(rows)},
                  {"passed_over", known.num_bad_lines},
                  {"factor", fit.factor},
                  {"runs", fit.num_runs},
                  {"specs", fit.num_specs},
                  {"left_out_error",
                   fit.left_out_error ? ordered_json(*fit.left_out_error) : ordered_json(nullptr)},
                  {"file", path.string()}});
}

}  // namespace

void add_runs_bench(CLI::App& bench, Cli& cli) {
  auto* verb = bench.add_subcommand(
      "runs", "Step times of own runs, which refine what plans of this machine start from");
  auto clear = std::make_shared<bool>(false);
  verb->add_flag("--clear", *clear, "Forget them");
  verb->footer(
      "Example:\n  teragpt bench runs\n"
      "`teragpt train` notes the median step time of each run of at least 13 steps, without the\n"
      "first three. Plans take the middle of measured over planned, longer steps weighing more; "
      "the\n"
      "error printed is that of each spec planned by the runs of the others.");
  verb->callback([&cli, clear] { bench_runs(cli, *clear); });
}

}  // namespace tera::app
