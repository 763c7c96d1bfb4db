// teragpt runs, stop: the runs of this machine, and ending one of them.
#include <cmath>

#include <fmt/format.h>

#include "app/teragpt/run_view.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/launch/launcher.h"

namespace tera::app {

namespace {

std::string age(double since_s) {
  if (since_s <= 0) return "-";
  return format_age(wall_s() - since_s) + " ago";
}

void print_runs(const run::RunList& list) {
  constexpr const char* kRow = "{:<24}  {:<16.16}  {:<9}  {:>15}  {:>8}  {:>14}  {}\n";
  fmt::print(kRow, "RUN", "NAME", "STATE", "STEP", "LOSS", "LAST RECORD", "EVIDENCE");
  for (const run::RunStatus& status : list.runs) {
    const std::string loss =
        std::isnan(status.last_loss) ? "-" : fmt::format("{:.4f}", status.last_loss);
    fmt::print(kRow, status.id, status.name, run::run_state_name(status.state),
               fmt::format("{}/{}", status.step, status.num_steps), loss, age(status.last_record_s),
               printable(status.detail));
  }
}

void runs(Cli& cli, const std::string& root) {
  const RunArguments where{.run = {}, .root = root};
  const Result<run::RunList> list = run::list_runs(posix_vfs(), where.root_path());
  if (!list) return cli.fail(list.error());
  for (const std::string& problem : list->problems)
    fmt::print(stderr, "warning: {}\n", problem);
  if (cli.json) {
    nlohmann::ordered_json document = {{"schema", "teragpt.runs/1"},
                                       {"root", where.root_path().string()},
                                       {"runs", nlohmann::ordered_json::array()},
                                       {"problems", list->problems}};
    for (const run::RunStatus& status : list->runs)
      document["runs"].push_back(to_json(status));
    return cli.print_json(document);
  }
  if (list->runs.empty()) {
    fmt::print("no runs in {}; start one: teragpt launch SPEC\n", where.root_path().string());
    return;
  }
  print_runs(*list);
}

void stop(Cli& cli, const RunArguments& args, bool force) {
  const std::optional<run::RunDirectory> dir = open_run(cli, args);
  if (!dir) return;
  if (!force) {
    fmt::print(stderr, "asking run {} to write a checkpoint and leave\n", dir->id());
  }
  const Result<void> stopped = launch::make_local_launcher()->stop(*dir, force);
  if (!stopped) return cli.fail(stopped.error());
  const std::optional<run::RunStatus> status = status_of(cli, *dir);
  if (!status) return;
  if (cli.json) {
    nlohmann::ordered_json document = {{"schema", "teragpt.stop/1"}};
    document.update(to_json(*status));
    return cli.print_json(document);
  }
  fmt::print("run {} {} at step {}\n", dir->id(), run::run_state_name(status->state), status->step);
  if (status->state == run::RunState::stopped) {
    fmt::print("go on with: teragpt launch --run {} --resume\n", dir->id());
  }
}

}  // namespace

void add_runs_command(CLI::App& root, Cli& cli) {
  auto* runs_verb = root.add_subcommand("runs", "List the runs of this machine");
  auto runs_root = std::make_shared<std::string>();
  add_root_option(*runs_verb, *runs_root);
  runs_verb->footer(
      "Example:\n  teragpt runs\n  teragpt runs --json | jq '.runs[] | select(.alive)'");
  runs_verb->callback([&cli, runs_root] { runs(cli, *runs_root); });

  add_attach_commands(root, cli);

  auto* stop_verb = root.add_subcommand("stop", "Let a run write a checkpoint and leave");
  auto args = std::make_shared<RunArguments>();
  auto force = std::make_shared<bool>(false);
  add_run_options(*stop_verb, *args);
  stop_verb->add_flag("--force", *force, "Kill it at once, without a checkpoint");
  stop_verb->footer(
      "Example:\n  teragpt stop 20260101-120000-0a1b2c3d\nThe process is asked once and given a "
      "minute; what was trained since the last checkpoint is\nlost only with --force.");
  stop_verb->callback([&cli, args, force] { stop(cli, *args, *force); });
}

}  // namespace tera::app
