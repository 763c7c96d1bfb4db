// The command line: one verb per file, each of which calls core and prints. No logic here.
#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/log.h"

int main(int argc, char** argv) {
  using namespace tera::app;
  Cli cli;
  CLI::App root("TeraGPT: design, plan, train and watch Mixture-of-Experts language models.",
                "teragpt");
  root.set_version_flag("--version", "teragpt " TERA_VERSION);
  root.require_subcommand(1);
  root.fallthrough();
  root.add_flag("--json", cli.json, "Print one JSON document (or one per line) on stdout");
  try {
    tera::log_to_stderr();
    add_all_commands(root, cli);
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = root.exit(error);
    return code == 0 ? exit_done : exit_usage;
  } catch (const std::exception& error) {
    fmt::print(stderr,
               "internal error: {}\nhint:  please report this with the command line and the spec\n",
               error.what());
    return exit_internal;
  }
  return cli.exit_code;
}
