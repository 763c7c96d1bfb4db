// teragpt bench comm: collectives between threads and between processes, beside the memory's speed.
#pragma once
#include "app/teragpt/cli.h"

namespace tera::app {

void add_comm_bench(CLI::App& bench, Cli& cli);

}  // namespace tera::app
