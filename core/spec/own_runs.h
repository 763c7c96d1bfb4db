// Step times of TeraGPT's own runs on this machine, which refine the figures that `this-machine` is
// planned with.
//
// own_runs.jsonl lies beside the device profile and has a run a line, newest last:
//   {"run":"20260101-120000-0a1b2c3d","name":"tiny-moe","precision":"bf16","time_s":1767268800.5,
//    "figures":"<16 hex>","planned_s":0.52,"step_s":0.55,"spread":0.03,"num_steps":97}
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/spec/cluster.h"

namespace tera::spec {

struct OwnRun {
  std::string run;        // its id
  std::string name;       // of its spec
  std::string precision;  // of its spec
  double time_s = 0;      // when it ended, since the epoch
  std::string figures;    // that it was planned with: figures_key()
  double planned_s = 0;   // of a step, with figures that no own run has refined
  double step_s = 0;      // measured: the median
  double spread = 0;      // measured: distance of the quartiles over the median
  std::int64_t num_steps = 0;
  bool operator==(const OwnRun&) const = default;
};

// Names the figures of a device before own runs refine them, and the version that plans with them:
// a run counts for as long as both are the same.
std::string figures_key(std::string_view device, std::string_view profile);

// The step times of a run, its first ones left out; nothing when too few are left.
struct StepTimes {
  double median_s = 0;
  double spread = 0;
  std::int64_t num_steps = 0;
};
std::optional<StepTimes> steady_step_times(const std::vector<double>& steps_s);

// What own runs say about figures.
struct OwnRunsFit {
  double factor = 1;  // measured over planned step time
  int num_runs = 0;   // that count
  int num_specs = 0;  // different ones among them
  // Mean of |planned / measured - 1| with the runs of a spec planned by the factor of the others,
  // weighed as below; nothing for one spec.
  std::optional<double> left_out_error;
};
// The middle of all specs, each the middle of its runs, by ratio: one odd run moves little. Specs
// weigh by the root of their planned step time: what starting and waiting add to short steps says
// little about long ones.
OwnRunsFit fit_own_runs(const std::vector<OwnRun>& runs, std::string_view figures);
// Why a run does not count; empty if it does.
std::string why_not(const OwnRun& run, std::string_view figures);
// "6 own runs of 3 specs, whose steps took 1.07 times as long as planned; error on specs left out
// 4.1 %"
std::string describe(const OwnRunsFit& fit);

// Makes a step take `factor` times as long: shares of peaks, starts, and links within the machine.
// Where a share would leave what a spec may say, its peak moves instead. Returns the fields it has
// changed.
std::vector<std::string> slow_down(Cluster& cluster, double factor);

struct OwnRuns {
  std::vector<OwnRun> runs;
  std::string problem;  // what the first line that was passed over says; empty: none was
  int num_bad_lines = 0;
};
OwnRuns parse_own_runs(std::string_view text);
std::string own_runs_text(const std::vector<OwnRun>& runs);

// Beside the device profile; empty when no folder is known.
std::filesystem::path own_runs_path();
// Empty where there is no file. Errors: the disk's, and a file that is larger than it can be.
Result<std::string> read_own_runs_text(const std::filesystem::path& path);
// Adds a run under a lock and leaves the newest hundred; old or new, never half.
Result<void> add_own_run(const std::filesystem::path& path, const OwnRun& run);
Result<void> clear_own_runs(const std::filesystem::path& path);

}  // namespace tera::spec
