// The state of a run, from evidence: what its event log says, whether its process lives, and how
// old its last record is.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/run/run_directory.h"

namespace tera::run {

enum class RunState : std::uint8_t {
  created,    // directory exists, nothing started
  starting,   // process started, no step done in this attempt
  running,    // a step was done
  completed,  // all steps done
  stopped,    // left after a checkpoint (exit 75); resumable
  failed,     // ended with an error of its own, which the event names
  died        // the process is gone without saying why (kill, power, out of memory)
};
std::string_view run_state_name(RunState state);

struct RunEvent {
  double time_s = 0;
  int attempt = 0;
  std::string state;  // a run_state_name, or "checkpoint", "skipped", "note"
  // What a person reads: "step 200, loss 4.21", "cannot write ...: no space left".
  std::string detail = {};
  std::int64_t step = -1;
};

// Appends one event line, fsynced.
Result<void> append_event(const RunDirectory& dir, const RunEvent& event);
Result<std::vector<RunEvent>> read_events(const RunDirectory& dir);  // torn last line ignored

struct RunStatus {
  std::string id, name;
  std::filesystem::path path;
  RunState state = RunState::created;
  std::string detail;  // evidence in words: "no record for 34 s; process 4711 alive"
  bool alive = false;  // the lock is held by a living process
  std::int64_t pid = 0;
  int attempt = 0;
  std::int64_t step = 0, num_steps = 0;
  double last_loss = 0;  // NaN when none
  double tokens_per_s = 0;
  double created_s = 0, last_record_s = 0;
};
Result<RunStatus> run_status(const RunDirectory& dir);
// The process a launcher started for an attempt (launch/aNNN/job.json); absent when none did.
std::optional<ProcessId> launched_process(const RunDirectory& dir, int attempt);
// All runs under a root, newest first; unreadable ones are listed as problems, never dropped.
struct RunList {
  std::vector<RunStatus> runs;
  std::vector<std::string> problems;
};
Result<RunList> list_runs(Vfs& vfs, const std::filesystem::path& root);

}  // namespace tera::run
