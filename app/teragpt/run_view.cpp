#include "app/teragpt/run_view.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "core/base/units.h"

namespace tera::app {

void add_root_option(CLI::App& verb, std::string& root) {
  verb.add_option("--root,--runs-root", root,
                  "Folder of the runs (default: $TERA_RUNS or the user's data folder)")
      ->type_name("DIR");
}

void add_run_options(CLI::App& verb, RunArguments& args) {
  verb.add_option("RUN", args.run, "Run directory, its id, or the beginning of its id")->required();
  add_root_option(verb, args.root);
}

std::optional<run::RunDirectory> open_run(Cli& cli, const RunArguments& args) {
  Result<run::RunDirectory> dir = run::RunDirectory::open(posix_vfs(), args.run, args.root_path());
  if (!dir) {
    cli.fail(dir.error());
    return std::nullopt;
  }
  return std::move(*dir);
}

std::optional<run::RunStatus> status_of(Cli& cli, const run::RunDirectory& dir) {
  Result<run::RunStatus> status = run::run_status(dir);
  if (!status) {
    cli.fail(status.error());
    return std::nullopt;
  }
  return std::move(*status);
}

nlohmann::ordered_json to_json(const run::RunStatus& status) {
  return {{"id", status.id},
          {"name", status.name},
          {"path", status.path.string()},
          {"state", run::run_state_name(status.state)},
          {"detail", status.detail},
          {"alive", status.alive},
          {"pid", status.pid},
          {"attempt", status.attempt},
          {"step", status.step},
          {"num_steps", status.num_steps},
          {"loss", status.last_loss},  // NaN is written as null
          {"tokens_per_s", status.tokens_per_s},
          {"created_s", status.created_s},
          {"last_record_s", status.last_record_s}};
}

nlohmann::ordered_json to_json(const std::vector<launch::Check>& checks) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const launch::Check& check : checks) {
    list.push_back({{"check", check.name},
                    {"state", launch::check_state_name(check.state)},
                    {"detail", check.detail},
                    {"hint", check.hint}});
  }
  return list;
}

bool report_checks(Cli& cli, const std::vector<launch::Check>& checks) {
  int worst = exit_done;
  for (const launch::Check& check : checks) {
    if (check.state == launch::CheckState::failed) {
      cli.fail({check.code, check.detail, check.hint});
      worst = std::max(worst, cli.exit_code);
    } else if (check.state == launch::CheckState::warning) {
      fmt::print(stderr, "warning: {}\n", check.detail);
      if (!check.hint.empty()) fmt::print(stderr, "hint:  {}\n", check.hint);
    }
  }
  if (worst != exit_done) cli.exit_code = worst;
  return worst == exit_done;
}

std::string json_line(const run::MetricRecord& record) {
  const std::string line = run::to_json_line(record);
  return R"({"schema":"teragpt.metrics/1",)" + line.substr(1);
}

std::string record_line(const run::MetricRecord& record, std::int64_t num_steps) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::string line =
      fmt::format("step {:>6}/{}  loss {:.4f}  grad norm {:.3f}  lr {:.2e}  {}", record.step,
                  num_steps, record.value("loss", kNone), record.value("grad_norm", kNone),
                  record.value("learning_rate", kNone),
                  format_rate(record.value("tokens_per_s", kNone), "tok/s"));
  if (record.has("eval_loss")) {
    line += fmt::format("  held-out loss {:.4f}", record.value("eval_loss", kNone));
  }
  return line;
}

bool is_under_way(const run::RunStatus& status) {
  return status.state == run::RunState::starting || status.state == run::RunState::running;
}

int exit_code_of(run::RunState state) {
  switch (state) {
    case run::RunState::created:
    case run::RunState::starting:
    case run::RunState::running:
    case run::RunState::completed:
      return exit_done;
    case run::RunState::stopped:
      return exit_stopped;
    case run::RunState::failed:
    case run::RunState::died:
      return exit_no;
  }
  return exit_internal;
}

}  // namespace tera::app
