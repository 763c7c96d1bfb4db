// teragpt bench train: training speed and memory of whole models, beside the ceiling and PyTorch.
#pragma once
#include "app/teragpt/cli.h"

namespace tera::app {

void add_train_bench(CLI::App& bench, Cli& cli);

}  // namespace tera::app
