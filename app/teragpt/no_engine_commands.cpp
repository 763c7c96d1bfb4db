// A build of the control plane alone has no engine verbs.
#include "app/teragpt/cli.h"
#include "app/teragpt/doctor.h"

namespace tera::app {

void add_engine_commands(CLI::App&, Cli&) {}

std::vector<Check> engine_checks() {
  return {};
}

}  // namespace tera::app
