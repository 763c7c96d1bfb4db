// teragpt bench generate: tokens per second, beside what memory allows and PyTorch.
#pragma once
#include "app/teragpt/cli.h"

namespace tera::app {

void add_generate_bench(CLI::App& bench, Cli& cli);

}  // namespace tera::app
