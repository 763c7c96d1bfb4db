#include "core/run/run_state.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/run/line_file.h"
#include "core/run/metric_stream.h"

namespace tera::run {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::uint64_t kMaxEventBytes = 64 << 20;
constexpr std::uint64_t kMaxRunFileBytes = 1 << 20;

constexpr std::array<std::string_view, 7> kStateNames = {
    "created", "starting", "running", "completed", "stopped", "failed", "died"};

std::optional<RunState> state_from_name(std::string_view name) {
  const auto at = std::find(kStateNames.begin(), kStateNames.end(), name);
  if (at == kStateNames.end()) return std::nullopt;
  return static_cast<RunState>(at - kStateNames.begin());
}

std::optional<RunEvent> parse_event(std::string_view line) {
  const json document = json::parse(line, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  try {
    RunEvent event;
    event.time_s = document.at("time_s").get<double>();
    event.attempt = document.at("attempt").get<int>();
    event.state = document.at("state").get<std::string>();
    event.detail = document.value("detail", "");
    event.step = document.value("step", std::int64_t{-1});
    return event;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

// The last thing the log says about its state, of the newest attempt; nothing when it never
// started.
std::optional<RunEvent> last_state_event(const std::vector<RunEvent>& events) {
  for (auto event = events.rbegin(); event != events.rend(); ++event) {
    if (state_from_name(event->state)) return *event;
  }
  return std::nullopt;
}

std::string record_age(const std::optional<MetricRecord>& record) {
  if (!record) return "no record yet";
  return fmt::format("last record {} ago, step {}", format_age(wall_s() - record->time_s),
                     record->step);
}

// State and evidence of a run whose lock is free.
void judge_ended(const RunDirectory& dir,
                 const std::optional<RunEvent>& event,
                 const LockHolder& holder,
                 const std::optional<MetricRecord>& record,
                 const std::string& last_words,
                 RunStatus& status) {
  const RunState said =
      event ? state_from_name(event->state).value_or(RunState::created) : RunState::created;
  // A newer launch than the last event speaks of: it has not begun, or ended before it could.
  if (status.attempt > (event ? event->attempt : 0)) {
    if (const auto process = launched_process(dir, status.attempt)) {
      status.pid = process->pid;
      const bool lives = is_alive(*process);
      status.state = lives ? RunState::starting : RunState::died;
      status.detail =
          lives ? fmt::format("process {} started, not yet training", process->pid)
                : fmt::format(
                      "process {} ended before training began; see {}", process->pid,
                      dir.log_file(status.attempt, 0).lexically_relative(dir.path()).string());
      return;
    }
  }
  const bool ended =
      said == RunState::completed || said == RunState::stopped || said == RunState::failed;
  if (ended) {
    status.state = said;
    status.detail = event->detail.empty() ? record_age(record) : event->detail;
  } else if (event || record) {
    status.state = RunState::died;
    const std::string process =
        holder.process.pid > 0 ? fmt::format("process {}", holder.process.pid) : "its process";
    status.detail = fmt::format("{} {}; {}", process, last_words, record_age(record));
  } else {
    status.state = RunState::created;
    status.detail = "not started";
  }
}

}  // namespace

std::string_view run_state_name(RunState state) {
  return kStateNames[static_cast<std::size_t>(state)];
}

Result<void> append_event(const RunDirectory& dir, const RunEvent& event) {
  ordered_json document = {
      {"time_s", event.time_s}, {"attempt", event.attempt}, {"state", event.state}};
  if (!event.detail.empty()) document["detail"] = event.detail;
  if (event.step >= 0) document["step"] = event.step;
  // Details quote file names, which may be no UTF-8.
  const std::string line =
      document.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  TERA_TRY(const std::unique_ptr<WritableFile> file, open_line_file(dir.vfs(), dir.events_file()));
  TERA_TRY_VOID(file->append(std::as_bytes(std::span(line.data(), line.size()))));
  TERA_TRY_VOID(file->sync());
  return file->close();
}

Result<std::vector<RunEvent>> read_events(const RunDirectory& dir) {
  std::vector<RunEvent> events;
  TERA_TRY(const bool present, dir.vfs().exists(dir.events_file()));
  if (!present) return events;
  TERA_TRY(const std::string text, read_text(dir.vfs(), dir.events_file(), kMaxEventBytes));
  std::string_view rest = text;
  for (auto newline = rest.find('\n'); newline != std::string_view::npos;
       newline = rest.find('\n')) {
    if (std::optional<RunEvent> event = parse_event(rest.substr(0, newline))) {
      events.push_back(std::move(*event));
    }
    rest.remove_prefix(newline + 1);
  }
  return events;
}

Result<RunStatus> run_status(const RunDirectory& dir) {
  RunStatus status;
  status.id = dir.id();
  status.path = dir.path();
  TERA_TRY(const spec::RunSpec spec, dir.spec());
  status.name = spec.name;
  status.num_steps = spec.training.num_steps;
  if (const auto text = read_text(dir.vfs(), dir.run_file(), kMaxRunFileBytes)) {
    const json document = json::parse(*text, nullptr, false);
    if (document.is_object() && document.contains("created_s") &&
        document["created_s"].is_number()) {
      status.created_s = document["created_s"].get<double>();
    }
  }
  TERA_TRY(status.attempt, dir.last_attempt());
  TERA_TRY(const std::vector<RunEvent> events, read_events(dir));
  TERA_TRY(const std::optional<MetricRecord> record, last_record(dir.metrics_dir()));
  TERA_TRY(const LockHolder holder, lock_holder(dir));

  status.last_loss = std::numeric_limits<double>::quiet_NaN();
  if (record) {
    status.step = record->step;
    status.last_loss = record->value("loss", status.last_loss);
    status.tokens_per_s = record->value("tokens_per_s", 0);
    status.last_record_s = record->time_s;
  }
  status.pid = holder.process.pid;
  status.alive = holder.held;
  const std::optional<RunEvent> event = last_state_event(events);
  if (holder.held) {
    status.attempt = std::max(status.attempt, holder.attempt);
    const bool stepped = record && record->attempt == holder.attempt;
    status.state = stepped ? RunState::running : RunState::starting;
    status.detail = fmt::format("{}; process {} alive", record_age(record), holder.process.pid);
  } else {
    // A note is what somebody else did to the process: "was killed on request".
    const bool noted = !events.empty() && events.back().state == "note";
    judge_ended(dir, event, holder, record, noted ? events.back().detail : "is gone without a word",
                status);
  }
  return status;
}

std::optional<ProcessId> launched_process(const RunDirectory& dir, int attempt) {
  const Result<std::string> text =
      read_text(dir.vfs(), dir.launch_dir(attempt) / "job.json", kMaxRunFileBytes);
  if (!text) return std::nullopt;
  const json document = json::parse(*text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  try {
    return ProcessId{.pid = document.at("pid").get<std::int64_t>(),
                     .starttime = document.at("starttime").get<std::int64_t>(),
                     .boot_id = document.at("boot_id").get<std::string>()};
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

Result<RunList> list_runs(Vfs& vfs, const fs::path& root) {
  RunList list;
  TERA_TRY(const bool present, vfs.exists(root));
  if (!present) return list;
  TERA_TRY(const std::vector<std::string> names, vfs.list(root));
  for (const std::string& name : names) {
    const Result<bool> is_run = vfs.exists(root / name / "spec.yaml");
    if (is_run && !*is_run) continue;
    Result<RunStatus> status = run_status(RunDirectory::planned(vfs, root, name));
    if (status) {
      list.runs.push_back(std::move(*status));
    } else {
      list.problems.push_back(fmt::format("{}: {}", name, status.error().message));
    }
  }
  std::stable_sort(list.runs.begin(), list.runs.end(), [](const RunStatus& a, const RunStatus& b) {
    return a.created_s > b.created_s;
  });
  return list;
}

}  // namespace tera::run
