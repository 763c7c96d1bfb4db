// teragpt bench layouts: one model on one rank and over ranks of this computer, in turn.
#pragma once
#include "app/teragpt/cli.h"

namespace tera::app {

void add_layouts_bench(CLI::App& bench, Cli& cli);

}  // namespace tera::app
