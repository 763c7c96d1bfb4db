#include "core/launch/preflight.h"

#include <algorithm>
#include <filesystem>

#include <unistd.h>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/data/data_plan.h"
#include "core/launch/hostfile.h"
#include "core/launch/launch_script.h"
#include "core/plan/estimate.h"
#include "core/plan/schedule_file.h"
#include "core/run/run_state.h"
#include "core/run/telemetry.h"
#include "core/spec/validate.h"

namespace tera::launch {
namespace {

namespace fs = std::filesystem;

Check ok(std::string name, std::string detail) {
  return {.state = CheckState::ok, .name = std::move(name), .detail = std::move(detail)};
}

Check failed(std::string name, const Error& error) {
  return {.state = CheckState::failed,
          .name = std::move(name),
          .detail = error.message,
          .hint = error.hint,
          .code = error.code};
}

Check warning(std::string name, std::string detail, std::string hint) {
  return {.state = CheckState::warning,
          .name = std::move(name),
          .detail = std::move(detail),
          .hint = std::move(hint)};
}

void add_errors(const std::vector<Diagnostic>& found, std::vector<Check>& checks) {
  for (const Diagnostic& d : found) {
    if (d.severity != Severity::error) continue;
    checks.push_back(
        failed(d.field.starts_with("data.") ? "data" : "spec",
               {ErrorCode::invalid_input, fmt::format("{}: {}", d.field, d.message), d.hint}));
  }
}

Check check_data(const spec::RunSpec& spec) {
  const Result<data::DataPlan> plan = data::DataPlan::open(spec);
  if (!plan) return failed("data", plan.error());
  std::int64_t windows = 0;
  for (int i = 0; i < plan->order().num_datasets(); ++i)
    windows += plan->order().num_windows(i);
  return ok(
      "data",
      fmt::format("{} tokens to train on, {} held out",
                  format_count(static_cast<double>(windows * plan->seq_length())),
                  format_count(static_cast<double>(plan->num_held_out() * plan->seq_length()))));
}

// The computers of a hostfile, which must have room for all ranks.
Check check_hosts(const spec::RunSpec& spec, const std::string& hostfile) {
  constexpr const char* kName = "computers";
  const Result<std::vector<HostSlots>> hosts = read_hostfile(posix_vfs(), hostfile);
  if (!hosts) return failed(kName, hosts.error());
  const std::int64_t ranks = spec.layout.world_size();
  const std::string found =
      fmt::format("{} in {} take {} ranks, the layout has {}",
                  counted(std::ssize(*hosts), "computer"), hostfile, total_slots(*hosts), ranks);
  if (total_slots(*hosts) < ranks) {
    return failed(kName, {ErrorCode::invalid_input, found,
                          "name more computers, raise slots, or choose a smaller layout"});
  }
  return ok(kName, found + "; their memory and disks are not looked at");
}

// Whole tensors, whatever the layout.
double checkpoint_bytes(spec::RunSpec spec) {
  spec.layout = {};
  const plan::EngineBytes bytes = plan::engine_bytes(spec);
  return static_cast<double>(bytes.weights + bytes.optimizer);
}

Check check_memory(const spec::RunSpec& spec, int num_local_ranks) {
  const auto ranks = static_cast<double>(spec.layout.world_size());
  const double share = num_local_ranks > 0 ? std::min(1.0, num_local_ranks / ranks) : 1;
  const double needs = share * needed_memory_bytes(spec);
  std::string detail = fmt::format("training needs {} of memory", format_bytes(needs));
  if (const std::optional<double> free = free_memory_bytes()) {
    detail += fmt::format(", {} are free", format_bytes(*free));
    if (needs > *free) {
      return failed("memory",
                    {ErrorCode::failed, detail,
                     "lower layout.micro_batch_size or the model, or close other programs"});
    }
  }
  const Result<plan::Estimate> estimate = plan::estimate(spec);  // none: a cluster nobody described
  if (estimate && !estimate->fits) {
    return warning(
        "memory",
        fmt::format("the plan needs {} and its device has {}", format_bytes(estimate->worst_bytes),
                    format_bytes(estimate->capacity_bytes)),
        "plan for this computer: cluster preset this-machine");
  }
  return ok("memory", detail);
}

// The part of a path that exists.
fs::path existing_part(fs::path path) {
  std::error_code problem;
  while (!fs::exists(path, problem) && path.has_relative_path())
    path = path.parent_path();
  return path;
}

double bytes_below(const fs::path& dir) {
  double bytes = 0;
  std::error_code problem;
  for (fs::recursive_directory_iterator at(dir, problem), end; !problem && at != end;
       at.increment(problem)) {
    std::error_code gone;
    const auto size = at->is_regular_file(gone) ? at->file_size(gone) : 0;
    if (!gone) bytes += static_cast<double>(size);
  }
  return bytes;
}

// Room for every checkpoint that is kept and the one being written; those that are there count.
Check check_disk(const spec::RunSpec& spec, const run::RunDirectory& dir) {
  const fs::path place = existing_part(dir.path());
  const bool is_folder = fs::is_directory(place);
  if (!is_folder || ::access(place.c_str(), W_OK | X_OK) != 0) {
    return failed("disk", {ErrorCode::io,
                           fmt::format("cannot write {}: {} is {}", dir.path().string(),
                                       place.string(), is_folder ? "not writable" : "not a folder"),
                           "name a folder of yours for runs, with TERA_RUNS"});
  }
  const Result<std::uint64_t> free = dir.vfs().free_bytes(place);
  if (!free) return warning("disk", free.error().message, free.error().hint);
  const double all = checkpoint_bytes(spec) * (spec.training.keep_checkpoints + 1);
  const double needs = std::max(0.0, all - bytes_below(dir.checkpoints_dir()));
  const std::string detail =
      fmt::format("checkpoints need {} on disk, {} are free in {}", format_bytes(needs),
                  format_bytes(static_cast<double>(*free)), dir.path().parent_path().string());
  if (needs > static_cast<double>(*free)) {
    return failed(
        "disk", {ErrorCode::failed, detail, "free some space, or lower training.keep_checkpoints"});
  }
  return ok("disk", detail);
}

Check check_others(const run::RunDirectory& dir) {
  constexpr const char* kName = "other runs";
  const Result<run::RunList> list = run::list_runs(dir.vfs(), dir.path().parent_path());
  if (!list) return warning(kName, list.error().message, list.error().hint);
  for (const run::RunStatus& other : list->runs) {
    if (!other.alive || other.id == dir.id()) continue;
    return warning(
        kName,
        fmt::format("{} is running (process {}): both would be slower", other.name, other.pid),
        "wait for it, or stop it first");
  }
  return ok(kName, "none on this computer");
}

}  // namespace

std::string_view check_state_name(CheckState state) {
  switch (state) {
    case CheckState::ok:
      return "ok";
    case CheckState::warning:
      return "warning";
    case CheckState::failed:
      return "failed";
  }
  return "failed";
}

std::vector<Check> preflight(const spec::RunSpec& spec,
                             const run::RunDirectory& dir,
                             const std::string& hostfile,
                             int num_local_ranks) {
  std::vector<Check> checks;
  add_errors(spec::validate(spec), checks);
  if (!checks.empty()) return checks;  // sizes of such a spec mean nothing
  add_errors(spec::validate_for_engine(spec), checks);
  if (checks.empty()) {
    const Result<plan::PipelineSchedule> schedule = plan::load_schedule(spec);
    if (!schedule) checks.push_back(failed("spec", schedule.error()));
  }
  const bool trainable = checks.empty();
  if (trainable) checks.push_back(ok("spec", "valid, and this build can train it"));
  if (!spec.data.datasets.empty()) checks.push_back(check_data(spec));
  if (!hostfile.empty()) {
    checks.push_back(check_hosts(spec, hostfile));
  } else if (trainable) {
    checks.push_back(check_memory(spec, num_local_ranks));
  }
  checks.push_back(check_disk(spec, dir));
  checks.push_back(check_others(dir));
  return checks;
}

Check check_program(const std::string& given) {
  const Result<fs::path> program = find_program(given);
  return program ? ok("program", program->string()) : failed("program", program.error());
}

double needed_memory_bytes(const spec::RunSpec& spec) {
  const int stages = spec.layout.pipeline_parallel_size;
  double needs = 0;
  for (int stage = 0; stage < stages; ++stage) {
    const plan::EngineBytes rank = plan::engine_bytes(spec, stage);
    needs +=
        static_cast<double>(rank.weights + rank.gradients + rank.optimizer + rank.activations) *
        static_cast<double>(spec.layout.world_size() / stages);
  }
  return needs;
}

std::optional<double> free_memory_bytes() {
  const run::HostReading host = run::HostTelemetry().read();
  if (!host.total_bytes || !host.used_bytes) return std::nullopt;
  return static_cast<double>(*host.total_bytes - *host.used_bytes);
}

bool can_start(const std::vector<Check>& checks) {
  return std::none_of(checks.begin(), checks.end(),
                      [](const Check& check) { return check.state == CheckState::failed; });
}

}  // namespace tera::launch
