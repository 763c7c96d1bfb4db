#include "app/teragpt/job_end.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <fstream>
#include <optional>
#include <regex>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/checkpoint/checkpoint.h"
#include "core/run/rank_errors.h"

namespace tera::app {
namespace {

constexpr std::size_t kLastLines = 200;  // among which mpirun speaks of what it saw
constexpr std::size_t kShownLines = 12;  // what a rank says before it trains, and mpirun after it

// The lines that say something, of the end of a log.
std::deque<std::string> last_lines(const std::filesystem::path& log) {
  std::deque<std::string> lines;
  std::ifstream file(log);
  for (std::string line; std::getline(file, line);) {
    if (line.find_first_not_of("- ") == std::string::npos) continue;
    lines.push_back(line);
    if (lines.size() > kLastLines) lines.pop_front();
  }
  return lines;
}

// A rank that a signal ended, or that went with its computer, could not say so: mpirun does.
std::optional<Error> seen_by_mpirun(const std::deque<std::string>& lines) {
  static const std::regex kKilled(
      R"(process rank (\d+) with PID \d+ on node (\S+) exited on signal (\d+)(?: \((.*)\))?)");
  static const std::regex kLost(R"(Remote daemon: .* on node (\S+))");
  std::smatch words;
  for (const std::string& line : lines) {
    if (std::regex_search(line, words, kKilled)) {
      return Error{ErrorCode::failed,
                   fmt::format("rank {} on {} was ended by signal {} ({})", words[1].str(),
                               words[2].str(), words[3].str(), words[4].str()),
                   "where memory runs out the system ends a process so: `dmesg` tells"};
    }
    if (std::regex_search(line, words, kLost)) {
      return Error{ErrorCode::failed, fmt::format("computer {} is gone", words[1].str()),
                   "is it up, and its network?"};
    }
  }
  return std::nullopt;
}

Error unexplained(const std::filesystem::path& log, int exit_code) {
  std::deque<std::string> lines = last_lines(log);
  if (std::optional<Error> seen = seen_by_mpirun(lines)) return *seen;
  while (lines.size() > kShownLines)
    lines.pop_front();
  for (const std::string& line : lines)
    fmt::print(stderr, "  | {}\n", printable(line));
  std::string message = fmt::format("the ranks ended with exit code {}", exit_code);
  if (exit_code > 128)
    message += fmt::format(" (signal {}, {})", exit_code - 128, strsignal(exit_code - 128));
  return {ErrorCode::failed, std::move(message), {}};
}

// Where to look, and how to go on.
std::string hint_of(const run::RunDirectory& dir, int attempt, const std::string& hint) {
  std::string text = hint.empty() ? "" : hint + "; ";
  text += fmt::format("what each rank did last is in {}",
                      dir.log_file(attempt, 0).parent_path().string());
  const auto kept = checkpoint::list(dir.vfs(), dir.checkpoints_dir());
  if (kept && !kept->empty())
    text += fmt::format("; go on with: teragpt train --run {} --resume", dir.id());
  return text;
}

// How the attempt ended by the word of rank 0, when its last checkpoint was whole.
std::optional<run::RunState> good_end(const run::RunDirectory& dir, int attempt) {
  const Result<std::vector<run::RunEvent>> events = run::read_events(dir);
  if (!events) return std::nullopt;
  for (const run::RunState state : {run::RunState::completed, run::RunState::stopped}) {
    const auto says_so = [&](const run::RunEvent& event) {
      return event.attempt == attempt && event.state == run_state_name(state);
    };
    if (std::any_of(events->begin(), events->end(), says_so)) return state;
  }
  return std::nullopt;
}

void note(const run::RunDirectory& dir, int attempt, std::string_view state, std::string detail) {
  const Result<void> noted = run::append_event(dir, {.time_s = wall_s(),
                                                     .attempt = attempt,
                                                     .state = std::string(state),
                                                     .detail = std::move(detail)});
  if (!noted) spdlog::warn("cannot note it: {}", noted.error().message);
}

// Nobody said how the attempt ended.
bool is_open(run::RunState state) {
  using enum run::RunState;
  return state == created || state == starting || state == running || state == died;
}

}  // namespace

Result<run::RunState> job_end(const run::RunDirectory& dir, int attempt, int exit_code) {
  const std::optional<run::RankError> first = run::first_rank_error(dir, attempt);
  if (const std::optional<run::RunState> end = good_end(dir, attempt)) {
    if (!first) return *end;
    const std::string detail =
        fmt::format("the run is whole, its ranks did not part in peace: {}", first->error.message);
    spdlog::warn("{}", detail);
    note(dir, attempt, "note", detail);
    return *end;
  }
  TERA_TRY(const run::RunStatus status, run::run_status(dir));
  Error cause = first ? first->error : unexplained(dir.log_file(attempt, 0), exit_code);
  if (is_open(status.state)) {
    note(dir, attempt, first ? "failed" : "note",
         first ? cause.message : fmt::format("is gone: {}", cause.message));
  }
  cause.hint = hint_of(dir, attempt, cause.hint);
  return tl::unexpected<Error>(std::move(cause));
}

}  // namespace tera::app
