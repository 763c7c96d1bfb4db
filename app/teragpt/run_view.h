// What the verbs about runs share: finding one, and showing its state and records as text.
#pragma once
#include <optional>
#include <string>

#include "app/teragpt/cli.h"
#include "core/launch/preflight.h"
#include "core/run/metric_stream.h"
#include "core/run/run_state.h"

namespace tera::app {

struct RunArguments {
  std::string run;   // path, id or unique prefix of an id
  std::string root;  // empty: the default root
  std::filesystem::path root_path() const {
    return root.empty() ? run::default_runs_root() : std::filesystem::path(root);
  }
};

// Adds --root.
void add_root_option(CLI::App& verb, std::string& root);
// Adds RUN and --root.
void add_run_options(CLI::App& verb, RunArguments& args);
// On failure reports and returns nothing.
std::optional<run::RunDirectory> open_run(Cli& cli, const RunArguments& args);
std::optional<run::RunStatus> status_of(Cli& cli, const run::RunDirectory& dir);

nlohmann::ordered_json to_json(const run::RunStatus& status);
// checks[] {check, state, detail, hint}
nlohmann::ordered_json to_json(const std::vector<launch::Check>& checks);
// Prints what has failed and what is worth a look; whether the run can start. Sets the exit code: 2
// when something that was given is wrong, else 1.
bool report_checks(Cli& cli, const std::vector<launch::Check>& checks);
// The record as a JSON document of its own, schema first, with '\n'.
std::string json_line(const run::MetricRecord& record);
// "step 12/200  loss 4.8123  grad norm 1.22  lr 1.0e-03  12.3 k tok/s".
std::string record_line(const run::MetricRecord& record, std::int64_t num_steps);
// Whether the process of the run works on it, or is about to.
bool is_under_way(const run::RunStatus& status);
// The exit code that tells how the run ended.
int exit_code_of(run::RunState state);

// attach and logs (attach_command.cpp), in their place among the verbs of runs_command.cpp.
void add_attach_commands(CLI::App& root, Cli& cli);

}  // namespace tera::app
