// The verbs of this build, in the order of --help.
#include "app/teragpt/cli.h"

namespace tera::app {

void add_all_commands(CLI::App& root, Cli& cli) {
  (void)root;
  (void)cli;
}

}  // namespace tera::app
