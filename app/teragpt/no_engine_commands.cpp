// A build of the control plane alone has no engine verbs.
#include "app/teragpt/cli.h"

namespace tera::app {

void add_engine_commands(CLI::App&, Cli&) {}

}  // namespace tera::app
