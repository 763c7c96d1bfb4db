// teragpt bench: what this machine reaches, with its ceilings beside it.
#include "app/teragpt/bench_comm.h"
#include "app/teragpt/bench_device.h"
#include "app/teragpt/bench_generate.h"
#include "app/teragpt/bench_layouts.h"
#include "app/teragpt/bench_ops.h"
#include "app/teragpt/bench_runs.h"
#include "app/teragpt/bench_train.h"
#include "app/teragpt/cli.h"

namespace tera::app {

void add_bench_command(CLI::App& root, Cli& cli) {
  auto* bench = root.add_subcommand(
      "bench", "Measure this machine: device, comm, layouts, runs, ops, train, generate");
  bench->require_subcommand(1);
  bench->footer(
      "Example:\n  teragpt bench device\n  teragpt bench comm\n  teragpt bench layouts\n  teragpt "
      "bench runs\n  teragpt "
      "bench ops --filter "
      "attention\n"
      "  teragpt bench train --model tiny-moe --vs torch\n"
      "  teragpt bench generate --model gpt2-124m --vs torch");
  add_device_bench(*bench, cli);
  add_comm_bench(*bench, cli);
  add_layouts_bench(*bench, cli);
  add_runs_bench(*bench, cli);
  add_ops_bench(*bench, cli);
  add_train_bench(*bench, cli);
  add_generate_bench(*bench, cli);
}

}  // namespace tera::app
