// teragpt bench runs: the step times of own runs that refine the device profile.
#pragma once
#include "app/teragpt/cli.h"

namespace tera::app {

void add_runs_bench(CLI::App& bench, Cli& cli);

}  // namespace tera::app
