// RunDirectory: where a run leaves everything it knows. Paths, and atomic writes through the Vfs.
//
//   ROOT/<run id>/            run id = yyyymmdd-hhmmss-<8 hex> (UTC), mode 0700
//     spec.yaml               the resolved spec, immutable; paths in it are absolute
//     run.json                id, name, created_s, spec_sha256, version
//     events.jsonl            append-only truth of the state machine (run_state.h)
//     lock                    flock held by the training process: {pid, starttime, boot_id,
//     attempt} metrics/run.aNNN.jsonl  records of attempt NNN (metric_stream.h)
//     logs/aNNN/rank-00000.log
//     launch/aNNN/{argv.json,job.json}   what was started, and the process that was
//     ckpt/step-000000100/    checkpoints (core/checkpoint)
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/run/process.h"
#include "core/spec/run_spec.h"

namespace tera::run {

// $TERA_RUNS, else $XDG_DATA_HOME/teragpt/runs, else ~/.local/share/teragpt/runs.
std::filesystem::path default_runs_root();
// The text of spec.yaml of a run of this spec: every field, paths made absolute, since processes
// that start elsewhere read it.
std::string run_spec_text(const spec::RunSpec& spec);
// A new id: the time in UTC and 32 random bits.
std::string make_run_id();

class RunDirectory {
 public:
  // Creates ROOT/<id> with spec.yaml and run.json; an empty id takes a new one.
  static Result<RunDirectory> create(Vfs& vfs,
                                     const std::filesystem::path& root,
                                     const spec::RunSpec& spec,
                                     const std::string& id = {});
  // Opens an existing one: a path, or an id or unique prefix of one under the root.
  static Result<RunDirectory> open(Vfs& vfs,
                                   const std::string& path_or_id,
                                   const std::filesystem::path& root = default_runs_root());
  // Names a directory that create would make, without touching the disk (dry runs).
  static RunDirectory planned(Vfs& vfs, const std::filesystem::path& root, const std::string& id);

  const std::filesystem::path& path() const { return path_; }
  std::string id() const { return path_.filename().string(); }
  Result<spec::RunSpec> spec() const;
  std::filesystem::path spec_file() const { return path_ / "spec.yaml"; }
  std::filesystem::path run_file() const { return path_ / "run.json"; }
  std::filesystem::path events_file() const { return path_ / "events.jsonl"; }
  std::filesystem::path lock_file() const { return path_ / "lock"; }
  std::filesystem::path metrics_dir() const { return path_ / "metrics"; }
  std::filesystem::path checkpoints_dir() const { return path_ / "ckpt"; }
  std::filesystem::path metrics_file(int attempt) const;
  std::filesystem::path log_file(int attempt, int rank) const;
  std::filesystem::path launch_dir(int attempt) const;
  // Highest attempt that left a metrics, log or launch entry; 0 if none.
  Result<int> last_attempt() const;
  // The attempt a training process makes now: the one its launcher prepared (kAttemptVariable),
  // else the one after the last.
  Result<int> attempt_to_start() const;
  Vfs& vfs() const { return *vfs_; }

 private:
  Vfs* vfs_ = nullptr;
  std::filesystem::path path_;
};

// Environment variable by which a launcher tells the process it starts its attempt.
inline constexpr const char* kAttemptVariable = "TERA_ATTEMPT";

// Exclusive right to write into a run: flock on `lock`, released by destruction or death.
class RunLock {
 public:
  // Error names the process that holds it.
  static Result<RunLock> acquire(const RunDirectory& dir, int attempt);
  ~RunLock();
  RunLock(RunLock&& other) noexcept;
  RunLock& operator=(RunLock&& other) noexcept;
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  RunLock() = default;
  int fd_ = -1;
};

// Who holds or last held the lock of a run.
struct LockHolder {
  bool held = false;  // by a living process
  ProcessId process;  // pid 0: nobody ever held it
  int attempt = 0;
};
Result<LockHolder> lock_holder(const RunDirectory& dir);

}  // namespace tera::run
