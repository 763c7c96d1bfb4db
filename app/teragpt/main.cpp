// The command line: one verb per file, each of which calls core and prints. No logic here.
#include <cstdio>
#include <exception>
#include <new>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "core/base/log.h"
#include "core/spec/suggest.h"

namespace {

// The verb as far as it was understood, such as "teragpt data show".
const CLI::App& deepest_verb(const CLI::App& root) {
  const CLI::App* verb = &root;
  while (!verb->get_subcommands().empty())
    verb = verb->get_subcommands().front();
  return *verb;
}

// What CLI11 found wrong, in the form of every other message of this program.
std::string usage_message(const CLI::App* root, const CLI::Error& error) {
  const CLI::App& verb = deepest_verb(*root);
  std::string message = error.what();
  std::string hint;
  std::vector<std::string_view> known;
  const std::vector<const CLI::App*> below = verb.get_subcommands(nullptr);
  for (const CLI::App* sub : below)
    known.push_back(sub->get_name());
  if (!known.empty()) {
    const std::vector<std::string> rest = root->remaining(true);
    const auto word = std::find_if(rest.begin(), rest.end(), [](const std::string& text) {
      return !text.empty() && text.front() != '-';
    });
    if (word != rest.end()) {
      message = fmt::format("unknown verb '{}'", *word);
      if (const auto nearest = tera::spec::nearest_word(*word, known))
        hint = fmt::format("did you mean '{}'? ", *nearest);
    } else if (error.get_name() == "RequiredError") {
      message = "expected a verb";
    }
  }
  std::string path = verb.get_name();
  for (const CLI::App* up = verb.get_parent(); up != nullptr; up = up->get_parent())
    path = up->get_name() + " " + path;
  return fmt::format("error: {}\nhint:  {}`{} --help` shows what it takes\n", message, hint, path);
}

// Every verb takes --json, which only the root declares: their help says so.
void mention_json(CLI::App& verb) {
  for (CLI::App* sub : verb.get_subcommands([](const CLI::App*) { return true; })) {
    mention_json(*sub);
    const std::string note = "With --json stdout holds JSON and nothing else.";
    sub->footer(sub->get_footer().empty() ? note : sub->get_footer() + "\n" + note);
  }
}

}  // namespace

int main(int argc, char** argv) {
  using namespace tera::app;
  Cli cli;
  CLI::App root("TeraGPT: design, plan, train and watch Mixture-of-Experts language models.",
                "teragpt");
  root.set_version_flag("--version", "teragpt " TERA_VERSION);
  root.require_subcommand(1);
  root.fallthrough();
  root.failure_message(usage_message);
  root.add_flag("--json", cli.json, "Print one JSON document (or one per line) on stdout");
  try {
    tera::log_to_stderr();
    add_all_commands(root, cli);
    mention_json(root);
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = root.exit(error);
    return code == 0 ? exit_done : exit_usage;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr,
               "error: out of memory\n"
               "hint:  `teragpt plan` shows what a spec needs; ask for less, or close programs\n");
    return exit_no;
  } catch (const std::exception& error) {
    fmt::print(stderr,
               "internal error: {}\nhint:  please report this with the command line and the spec\n",
               error.what());
    return exit_internal;
  }
  // What a full disk did not take must not look done to a script.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && cli.exit_code == exit_done) {
    fmt::print(stderr,
               "error: standard output did not take all of the text\n"
               "hint:  free space on the file system it goes to, or send it elsewhere\n");
    return exit_no;
  }
  return cli.exit_code;
}
