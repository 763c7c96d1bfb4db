// teragpt bench ops: every op of the engine beside what the processor can do at most.
#pragma once
#include "app/teragpt/cli.h"

namespace tera::app {

void add_ops_bench(CLI::App& bench, Cli& cli);

}  // namespace tera::app
