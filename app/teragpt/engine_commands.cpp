// Verbs that need the engine.
#include "app/teragpt/cli.h"

namespace tera::app {

void add_engine_commands(CLI::App& root, Cli& cli) {
  add_data_command(root, cli);
  add_tok_command(root, cli);
  add_train_command(root, cli);
  add_ckpt_command(root, cli);
  add_generate_command(root, cli);
  add_eval_command(root, cli);
  add_convert_command(root, cli);
  add_bench_command(root, cli);
  add_demo_command(root, cli);
}

}  // namespace tera::app
