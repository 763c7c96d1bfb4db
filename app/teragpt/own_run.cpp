#include "app/teragpt/own_run.h"

#include <fstream>
#include <optional>

#include "core/base/clock.h"
#include "core/base/thread_pool.h"
#include "core/plan/estimate.h"
#include "core/spec/own_runs.h"
#include "core/spec/presets.h"

namespace tera::app {
namespace {

#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kFullSpeed = true;
#else
constexpr bool kFullSpeed = false;
#endif

// By a debugger, or a profiler that stops it.
bool is_traced() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("TracerPid:")) return line.find_first_of("123456789") != std::string::npos;
  }
  return false;
}

bool is_as_planned(const spec::RunSpec& spec) {
  const int threads = spec.launch.num_threads;
  return !spec.training.has_batch_ramp() &&
         (threads == 0 || threads >= ThreadPool::available_processors());
}

}  // namespace

Result<void> note_own_run(const std::string& run,
                          const spec::RunSpec& spec,
                          const std::vector<double>& steps_s) {
  const std::filesystem::path path = spec::own_runs_path();
  const std::optional<spec::StepTimes> times = spec::steady_step_times(steps_s);
  if (path.empty() || !times || !kFullSpeed || !is_as_planned(spec) || is_traced()) return {};
  TERA_TRY(const spec::ClusterPreset machine, spec::cluster_preset("this-machine"));
  spec::RunSpec here = spec;  // wherever else the spec was planned for
  here.cluster = machine.before_own_runs;
  TERA_TRY(const plan::Estimate planned, plan::estimate(here));
  return spec::add_own_run(path, {.run = run,
                                  .name = spec.name,
                                  .precision = std::string(enum_name(spec.training.precision)),
                                  .time_s = wall_s(),
                                  .figures = machine.figures,
                                  .planned_s = planned.step_s,
                                  .step_s = times->median_s,
                                  .spread = times->spread,
                                  .num_steps = times->num_steps});
}

}  // namespace tera::app
