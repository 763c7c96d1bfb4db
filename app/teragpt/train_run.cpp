#include "app/teragpt/train_run.h"

#include <fmt/format.h>

#include "app/teragpt/nccl_ranks.h"
#include "app/teragpt/own_run.h"
#include "app/teragpt/run_view.h"
#include "core/base/log.h"
#include "core/launch/preflight.h"

namespace tera::app {
namespace {

void print_record(const Cli& cli, const run::MetricRecord& record, std::int64_t num_steps) {
  print_if_read(cli.json ? json_line(record) : record_line(record, num_steps) + "\n");
}

}  // namespace

bool can_connect(Cli& cli, const TrainArguments& args, const spec::RunSpec& spec) {
  const auto num_ranks = static_cast<int>(spec.layout.world_size());
  if (!args.by_nccl() || (!args.hostfile.empty() && num_ranks > 1)) return true;
  const Result<void> can = check_nccl_ranks(num_ranks);
  if (!can) cli.fail(can.error());
  return can.has_value();
}

std::optional<run::RunDirectory> open_run(Cli& cli,
                                          const TrainArguments& args,
                                          int num_local_ranks) {
  if (!args.run.empty()) {
    if (!args.overrides.empty()) {
      cli.fail({ErrorCode::invalid_input, "--set cannot change the spec of a run that exists",
                "start a new run: teragpt train SPEC --set ..."});
      return std::nullopt;
    }
    Result<run::RunDirectory> dir = run::RunDirectory::open(posix_vfs(), args.run);
    if (!dir) {
      cli.fail(dir.error());
      return std::nullopt;
    }
    return std::move(*dir);
  }
  spec::RunSpec spec;
  if (!load_spec(cli, args.spec, args.overrides, spec)) return std::nullopt;
  if (num_local_ranks == 0 && !can_connect(cli, args, spec)) return std::nullopt;
  const std::filesystem::path root =
      args.runs_root.empty() ? run::default_runs_root() : std::filesystem::path(args.runs_root);
  // Before anything is written: what cannot be trained leaves no run behind.
  const run::RunDirectory planned =
      run::RunDirectory::planned(posix_vfs(), root, run::make_run_id());
  if (!report_checks(cli, launch::preflight(spec, planned, args.hostfile, num_local_ranks)))
    return std::nullopt;
  Result<run::RunDirectory> dir = run::RunDirectory::create(posix_vfs(), root, spec, planned.id());
  if (!dir) {
    cli.fail(dir.error());
    return std::nullopt;
  }
  return std::move(*dir);
}

train::TrainOptions options_of(const Cli& cli,
                               const TrainArguments& args,
                               std::int64_t num_steps,
                               std::vector<double>& steps_s) {
  return {.resume = args.resume,
          .stop_at_step = args.steps,
          .stop_requested = &stop_requests(),
          .on_record = [&cli, &steps_s, num_steps](const run::MetricRecord& record) {
            steps_s.push_back(record.value("step_s", 0));
            print_record(cli, record, num_steps);
          }};
}

void learn_from(const run::RunDirectory& dir,
                const spec::RunSpec& spec,
                const std::vector<double>& steps_s) {
  if (const Result<void> noted = note_own_run(dir.id(), spec, steps_s); !noted)
    spdlog::warn("plans do not learn from this run: {}", noted.error().message);
}

void tell_stopped(Cli& cli, const run::RunDirectory& dir) {
  cli.exit_code = exit_stopped;
  if (!cli.json)
    print_if_read(fmt::format(
        "stopped after a checkpoint; go on with: teragpt train --run {} --resume\n", dir.id()));
}

}  // namespace tera::app
