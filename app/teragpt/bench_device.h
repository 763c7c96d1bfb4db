// teragpt bench device: measures this machine and writes the profile that `this-machine` plans
// with.
#pragma once
#include "app/teragpt/cli.h"
#include "core/base/thread_pool.h"
#include "kernels/bench.h"

namespace tera::app {

// Peaks of all threads of the pool together.
kernels::Peaks measure_peaks(ThreadPool& pool);
void add_device_bench(CLI::App& bench, Cli& cli);
// Writes the profile unless one for this processor is there; planning `this-machine` then rests on
// measured figures. Used by the demo. Returns its path.
Result<std::filesystem::path> ensure_device_profile();

}  // namespace tera::app
