// teragpt simulate: plays the pipeline schedule of a spec, or one a person wrote, event by event.
#include <algorithm>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/spec_json.h"
#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/plan/memory_model.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/schedule_check.h"
#include "core/plan/schedule_file.h"
#include "core/plan/schedule_text.h"
#include "core/plan/stage_times.h"
#include "core/plan/time_model.h"
#include "core/spec/validate.h"

namespace tera::app {
namespace {

struct SimulateOptions {
  std::string file;
  std::string schedule;
  std::string trace;
  bool print_schedule = false;
  int width = 100;
  std::vector<std::string> overrides;
};

using plan::kMaxActions;  // of a step that is written out, drawn or traced

std::int64_t num_actions(const plan::PipelineSchedule& schedule) {
  std::int64_t count = 0;
  for (const plan::StageOrder& order : schedule.stages) {
    for (const plan::ActionLoop& loop : order)
      count += std::min(kMaxActions, loop.repeats) * static_cast<std::int64_t>(loop.body.size());
  }
  return count;
}

// Chrome's trace format: one complete event per action, a row per stage, times in microseconds.
Result<void> write_trace(const plan::Timeline& timeline, int num_chunks, const std::string& file) {
  constexpr double kMicro = 1e6;
  nlohmann::ordered_json events = nlohmann::ordered_json::array();
  for (std::size_t stage = 0; stage < timeline.stages.size(); ++stage) {
    for (const plan::PlayedAction& played : timeline.stages[stage]) {
      events.push_back({{"name", plan::action_name(played.action, num_chunks)},
                        {"ph", "X"},
                        {"ts", played.start_s * kMicro},
                        {"dur", (played.end_s - played.start_s) * kMicro},
                        {"pid", 0},
                        {"tid", stage}});
    }
  }
  const nlohmann::ordered_json document = {{"traceEvents", std::move(events)},
                                           {"displayTimeUnit", "ms"}};
  return write_file_atomic(posix_vfs(), file, document.dump() + "\n");
}

struct Simulated {
  plan::PipelineSchedule schedule;
  plan::ScheduleTimes times;
  plan::PlayedStep played;
  double step_s = 0;                         // gradients and update included, as `plan` says
  std::vector<std::int64_t> peak_in_flight;  // [stage] micro-batches x chunks held at most
  std::vector<double> peak_stash_bytes;      // [stage]
};

Result<Simulated> simulate(const spec::RunSpec& spec) {
  TERA_TRY(const plan::RankMesh mesh, plan::RankMesh::make(spec.layout));
  Simulated result;
  TERA_TRY(result.schedule, plan::load_schedule(spec));
  result.times = plan::schedule_times(spec, mesh);
  TERA_TRY(result.played, plan::play(result.schedule, result.times));
  TERA_TRY(const plan::StepPlan step, plan::plan_step(spec, mesh, result.schedule));
  result.step_s = step.step_s;
  for (const plan::StageOrder& order : result.schedule.stages)
    result.peak_in_flight.push_back(plan::peak_in_flight(order, result.schedule.shape.num_chunks));
  for (const plan::StageMemory& stage : plan::plan_memory(spec, mesh, result.schedule))
    result.peak_stash_bytes.push_back(plan::find_term(stage.memory, "activations")->value);
  return result;
}

std::string simulated_text(const Simulated& s) {
  const plan::PipelineShape& shape = s.schedule.shape;
  std::string text = fmt::format(
      "{} x {}, {}\n"
      "Played    {} of {} per step, {} of it idle on the busiest stage\n",
      counted(shape.num_stages, "stage"), counted(shape.num_chunks, "chunk"),
      counted(shape.num_micro_batches, "micro-batch", "es"), format_seconds(s.played.step_s),
      format_seconds(s.step_s), format_percent(s.played.bubble_ratio));
  text += fmt::format("  {:<8}{:>14}{:>14}{:>14}\n", "", "busy", "in flight", "stash");
  for (std::size_t stage = 0; stage < s.played.busy_s.size(); ++stage) {
    text += fmt::format("  {:<8}{:>14}{:>14}{:>14}\n", fmt::format("stage {}", stage),
                        format_seconds(s.played.busy_s[stage]), s.peak_in_flight[stage],
                        format_bytes(s.peak_stash_bytes[stage]));
  }
  return text;
}

nlohmann::ordered_json simulated_json(const spec::RunSpec& spec, const Simulated& s) {
  const plan::PipelineShape& shape = s.schedule.shape;
  nlohmann::ordered_json document;
  document["schema"] = "teragpt.simulate/1";
  document["name"] = spec.name;
  document["stages"] = shape.num_stages;
  document["chunks"] = shape.num_chunks;
  document["micro_batches"] = shape.num_micro_batches;
  document["step_s"] = s.step_s;
  document["pipeline_s"] = s.played.step_s;
  document["bubble_ratio"] = s.played.bubble_ratio;
  document["busy_s"] = s.played.busy_s;
  document["peak_in_flight"] = s.peak_in_flight;
  document["peak_stash_bytes"] = s.peak_stash_bytes;
  return document;
}

void print_schedule(Cli& cli, const plan::PipelineSchedule& schedule) {
  if (num_actions(schedule) > kMaxActions)
    return cli.fail(plan::too_many_actions("--print-schedule", schedule.shape));
  const std::string text = plan::schedule_text(schedule);
  if (!cli.json) {
    fmt::print("{}", text);
  } else {
    cli.print_json({{"schema", "teragpt.schedule/1"}, {"text", text}});
  }
}

// The picture; writes the trace where one is asked for.
Result<std::string> draw(const Simulated& s, const SimulateOptions& options) {
  const plan::PipelineShape& shape = s.schedule.shape;
  if (num_actions(s.schedule) > kMaxActions) {
    if (options.trace.empty()) return plan::too_many_actions("not drawn", shape).message + "\n";
    return tl::unexpected<Error>(plan::too_many_actions("--trace", shape));
  }
  TERA_TRY(const plan::Timeline timeline, plan::play_in_full(s.schedule, s.times));
  if (!options.trace.empty()) TERA_TRY_VOID(write_trace(timeline, shape.num_chunks, options.trace));
  const double drawn_s = plan::drawable_s(timeline, options.width);
  const std::string title =
      drawn_s < timeline.step.step_s
          ? fmt::format("The first {}; a larger --width shows more\n", format_seconds(drawn_s))
          : "";
  return title + plan::schedule_grid(timeline, options.width);
}

void simulate_spec(Cli& cli, const SimulateOptions& options) {
  const spec::ParsedSpec parsed = spec::load_and_validate(options.file, options.overrides);
  cli.report(options.file, parsed.diagnostics);
  if (!parsed.ok()) return;
  if (!spec::is_described(parsed.spec.cluster)) {
    return cli.fail({ErrorCode::invalid_input,
                     "cluster: not described, so there is nothing to simulate on",
                     "add `cluster: {preset: this-machine}`"});
  }
  if (!options.trace.empty()) {
    const Result<void> writable = check_can_write(posix_vfs(), options.trace);
    if (!writable) return cli.fail(writable.error());
  }
  spec::RunSpec spec = parsed.spec;
  if (!options.schedule.empty()) spec.layout.schedule_file = options.schedule;
  const Result<Simulated> simulated = simulate(spec);
  if (!simulated) return cli.fail(simulated.error());
  if (options.print_schedule) return print_schedule(cli, simulated->schedule);
  std::string picture;
  if (!cli.json || !options.trace.empty()) {
    const Result<std::string> drawn = draw(*simulated, options);
    if (!drawn) return cli.fail(drawn.error());
    picture = *drawn;
  }
  if (cli.json) {
    cli.print_json(simulated_json(spec, *simulated));
  } else {
    fmt::print("{}\n{}", simulated_text(*simulated), picture);
  }
}

}  // namespace

void add_simulate_command(CLI::App& root, Cli& cli) {
  auto options = std::make_shared<SimulateOptions>();
  CLI::App* verb = root.add_subcommand(
      "simulate", "Play the pipeline schedule of a spec: idle time, stash, a picture of it");
  verb->add_option("SPEC", options->file, "Run spec (YAML)")->required();
  verb->add_option("--schedule", options->schedule,
                   "Play this schedule, as of layout.schedule_file: a line per stage, actions as "
                   "--print-schedule writes them")
      ->type_name("FILE");
  verb->add_option("--trace", options->trace, "Write every action as a Chrome trace")
      ->type_name("OUT.json");
  CLI::Option* print = verb->add_flag("--print-schedule", options->print_schedule,
                                      "Print the schedule as text and nothing else");
  verb->add_option("--width", options->width, "Columns of the picture")
      ->check(at_least(10, 10000))
      ->capture_default_str();
  verb->get_option("--trace")->excludes(print);
  add_set_option(*verb, options->overrides);
  verb->footer(
      "Examples:\n"
      "  teragpt simulate my-run.yaml --set layout.schedule=zb-h1\n"
      "  teragpt simulate my-run.yaml --print-schedule > mine.txt\n"
      "  teragpt simulate my-run.yaml --schedule mine.txt --trace step.json\n"
      "In the picture time goes from left to right: F forward and B backward with the number of\n"
      "the micro-batch, W gradients of the weights alone, . waiting; small letters: later chunks.");
  verb->callback([options, &cli] { simulate_spec(cli, *options); });
}

}  // namespace tera::app
