// teragpt attach, logs: watching a run from outside. Both only read; leaving them changes nothing.
#include <chrono>
#include <deque>
#include <limits>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "app/teragpt/run_view.h"
#include "core/base/clock.h"
#include "core/plan/estimate.h"
#include "core/run/health.h"

namespace tera::app {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(200);

struct AttachArguments {
  RunArguments run;
  std::int64_t last = -1;  // steps of the past to show; -1: 10 as text, all as JSON
};

struct LogArguments {
  RunArguments run;
  bool follow = false;
  int attempt = 0;  // 0: the last
  int rank = 0;
};

void print_record(const Cli& cli, const run::MetricRecord& record, std::int64_t num_steps) {
  if (cli.json) {
    fmt::print("{}", json_line(record));
  } else {
    fmt::print("{}\n", record_line(record, num_steps));
  }
}

void print_update(const Cli& cli,
                  const run::MetricReader::Update& update,
                  std::int64_t num_steps,
                  std::size_t most) {
  for (const std::string& problem : update.problems)
    fmt::print(stderr, "warning: {}\n", problem);
  if (update.replaced_from_step >= 0) {
    fmt::print(stderr, "the run went back: steps from {} are trained again\n",
               update.replaced_from_step);
  }
  const std::size_t skipped = update.records.size() > most ? update.records.size() - most : 0;
  for (std::size_t i = skipped; i < update.records.size(); ++i)
    print_record(cli, update.records[i], num_steps);
  std::fflush(stdout);
}

// What needs a person, each trouble once, however its numbers move.
class HealthTeller {
 public:
  explicit HealthTeller(const run::RunDirectory& dir) {
    const Result<spec::RunSpec> spec = dir.spec();
    if (!spec) return;
    if (const Result<plan::Estimate> estimate = plan::estimate(*spec))
      planned_tokens_per_s_ = estimate->tokens_per_s;
  }
  void tell(const run::MetricReader::Update& update, const run::RunStatus& status) {
    for (const run::MetricRecord& record : update.records)
      health_.observe(record);
    for (const run::Finding& finding : health_.findings(status, wall_s(), planned_tokens_per_s_)) {
      const Diagnostic& what = finding.what;
      if (what.severity == Severity::note || !told_.insert(finding.key).second) continue;
      fmt::print(stderr, "{}: {}: {}\n", what.severity == Severity::error ? "error" : "warning",
                 what.field, printable(what.message));
      if (!what.hint.empty()) fmt::print(stderr, "hint:  {}\n", what.hint);
    }
  }

 private:
  run::Health health_;
  std::set<std::string> told_ = {"end"};  // that one is the last line of attach
  double planned_tokens_per_s_ = 0;
};

void attach(Cli& cli, const AttachArguments& args) {
  const std::optional<run::RunDirectory> dir = open_run(cli, args.run);
  if (!dir) return;
  catch_stop_signals();
  run::MetricReader reader(dir->metrics_dir());
  HealthTeller health(*dir);
  constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();
  constexpr std::size_t kLastAsText = 10;
  std::size_t most =
      args.last >= 0 ? static_cast<std::size_t>(args.last) : (cli.json ? kAll : kLastAsText);
  for (;;) {
    // The state comes first: records written before the end are then all read after it.
    const std::optional<run::RunStatus> status = status_of(cli, *dir);
    if (!status) return;
    if (status->state == run::RunState::created) {
      return cli.fail({ErrorCode::failed, fmt::format("run {} has not been started", dir->id()),
                       fmt::format("teragpt launch --run {}", dir->id())});
    }
    const Result<run::MetricReader::Update> update = reader.poll();
    if (!update) return cli.fail(update.error());
    print_update(cli, *update, status->num_steps, most);
    most = kAll;
    health.tell(*update, *status);
    if (!is_under_way(*status)) {
      const std::string end = fmt::format("run {} {}: {}", dir->id(),
                                          run::run_state_name(status->state), status->detail);
      if (exit_code_of(status->state) == exit_no)
        return cli.fail({ErrorCode::failed, end, fmt::format("teragpt logs {}", dir->id())});
      fmt::print(stderr, "{}\n", printable(end));
      cli.exit_code = exit_code_of(status->state);
      return;
    }
    if (stop_requests().load() > 0) {
      fmt::print(stderr, "detached; run {} goes on (process {}). End it with: teragpt stop {}\n",
                 dir->id(), status->pid, dir->id());
      return;
    }
    std::this_thread::sleep_for(kPollInterval);
  }
}

void print_log_line(const Cli& cli, std::string_view line) {
  if (cli.json) {
    cli.print_json_line({{"schema", "teragpt.log/1"}, {"line", std::string(line)}});
  } else {
    fmt::print("{}\n", printable(line));
  }
}

// Prints what a log has beyond `offset`, whole lines only unless it is complete.
Result<void> print_log(const Cli& cli,
                       const std::filesystem::path& file,
                       std::uint64_t& offset,
                       bool complete) {
  constexpr std::uint64_t kChunk = std::uint64_t{4} << 20;
  TERA_TRY(const bool present, posix_vfs().exists(file));
  if (!present) return {};
  for (;;) {
    TERA_TRY(const std::uint64_t size, posix_vfs().file_size(file));
    if (size < offset) offset = 0;  // it was cut: begin again
    const std::uint64_t want = std::min(kChunk, size - offset);
    if (want == 0) break;
    TERA_TRY(const std::vector<std::byte> bytes, posix_vfs().read(file, offset, want));
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto last_newline = text.rfind('\n');
    const bool whole_lines = last_newline != std::string_view::npos;
    if (whole_lines) {
      text = text.substr(0, last_newline + 1);
    } else if (want < kChunk && !complete) {
      break;
    }
    offset += text.size();
    if (whole_lines) text.remove_suffix(1);
    for (std::size_t begin = 0; begin <= text.size();) {
      const auto newline = std::min(text.find('\n', begin), text.size());
      print_log_line(cli, text.substr(begin, newline - begin));
      begin = newline + 1;
    }
  }
  std::fflush(stdout);
  return {};
}

void logs(Cli& cli, const LogArguments& args) {
  const std::optional<run::RunDirectory> dir = open_run(cli, args.run);
  if (!dir) return;
  const Result<int> last_attempt = dir->last_attempt();
  if (!last_attempt) return cli.fail(last_attempt.error());
  const int attempt = args.attempt > 0 ? args.attempt : *last_attempt;
  const std::filesystem::path file = dir->log_file(attempt, args.rank);
  const Result<bool> present = posix_vfs().exists(file);
  if (!present) return cli.fail(present.error());
  if (!*present && !args.follow) {
    return cli.fail({ErrorCode::not_found,
                     fmt::format("run {} has no log of attempt {}, rank {} ({})", dir->id(),
                                 attempt, args.rank, file.string()),
                     fmt::format("it has attempts 1 to {}", *last_attempt)});
  }
  if (args.follow) catch_stop_signals();
  std::uint64_t offset = 0;
  for (;;) {
    bool complete = true;
    if (args.follow) {
      const std::optional<run::RunStatus> status = status_of(cli, *dir);
      if (!status) return;
      complete = !is_under_way(*status) || status->attempt != attempt;
    }
    const Result<void> printed = print_log(cli, file, offset, complete);
    if (!printed) return cli.fail(printed.error());
    if (complete || stop_requests().load() > 0) return;
    std::this_thread::sleep_for(kPollInterval);
  }
}

}  // namespace

void add_attach_commands(CLI::App& root, Cli& cli) {
  auto* attach_verb = root.add_subcommand("attach", "Watch a run: one line per step");
  auto attach_args = std::make_shared<AttachArguments>();
  add_run_options(*attach_verb, attach_args->run);
  attach_verb
      ->add_option("--last", attach_args->last,
                   "Past steps to show first (default: 10; with --json all)")
      ->check(at_least(0));
  attach_verb->footer(
      "Example:\n  teragpt attach 20260101-120000-0a1b2c3d\nCtrl-C leaves the run alone. Exit code "
      "when the run ends: 0 completed, 75 stopped, 1 failed.");
  attach_verb->callback([&cli, attach_args] { attach(cli, *attach_args); });

  auto* logs_verb = root.add_subcommand("logs", "Print the log of a run");
  auto log_args = std::make_shared<LogArguments>();
  add_run_options(*logs_verb, log_args->run);
  logs_verb->add_flag("-f,--follow", log_args->follow, "Go on until the run ends");
  logs_verb->add_option("--attempt", log_args->attempt, "Attempt (default: the last)")
      ->check(at_least(1));
  logs_verb->add_option("--rank", log_args->rank, "Rank")->check(at_least(0));
  logs_verb->footer("Example:\n  teragpt logs -f 20260101-120000-0a1b2c3d");
  logs_verb->callback([&cli, log_args] { logs(cli, *log_args); });
}

}  // namespace tera::app
