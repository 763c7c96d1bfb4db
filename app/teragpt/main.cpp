// The command line: one verb per file, each of which calls core and prints. No logic here.
#include <algorithm>
#include <csignal>
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

// What CLI11 says, in the words of every other message of this program.
std::string in_our_words(const CLI::ParseError& error) {
  std::string message = error.what();
  const auto replace = [&message](std::string_view words, std::string_view by) {
    const auto at = message.find(words);
    if (at != std::string::npos) message.replace(at, words.size(), by);
    return at != std::string::npos;
  };
  if (replace(" excludes ", " and ")) message += " were both given, expected one of them";
  replace("At Most 1 required but received", "expected once, times it was given:");
  return message;
}

std::string nearest_hint(std::string_view word, const std::vector<std::string_view>& known) {
  const auto nearest = tera::spec::nearest_word(word, known);
  return nearest ? fmt::format("did you mean '{}'? ", *nearest) : std::string();
}

// The wrong usage that CLI11 found.
tera::Error usage_error(const CLI::App& root, const CLI::ParseError& error) {
  const CLI::App& verb = deepest_verb(root);
  tera::Error told{tera::ErrorCode::invalid_input, in_our_words(error), {}};
  const std::vector<std::string> rest = root.remaining(true);
  const auto is_option = [](const std::string& text) { return text.starts_with('-'); };
  const auto option = std::find_if(rest.begin(), rest.end(), is_option);
  const auto word = std::find_if_not(rest.begin(), rest.end(), is_option);
  const std::vector<const CLI::App*> below = verb.get_subcommands(nullptr);
  std::vector<std::string_view> known;
  std::vector<std::string> names;
  if (!below.empty() && word != rest.end()) {
    for (const CLI::App* sub : below)
      known.push_back(sub->get_name());
    told.message = fmt::format("unknown verb '{}'", *word);
    told.hint = nearest_hint(*word, known);
  } else if (option != rest.end()) {
    for (const CLI::App* app : {&verb, &root}) {
      for (const CLI::Option* one : app->get_options())
        names.push_back(one->get_name());
    }
    known.assign(names.begin(), names.end());
    told.message = fmt::format("unknown option '{}'", *option);
    told.hint = nearest_hint(*option, known);
  } else if (!below.empty()) {
    told.message = "expected a verb";
  } else if (word != rest.end()) {
    told.message = fmt::format("got '{}', expected nothing more", *word);
  }
  std::string path = verb.get_name();
  for (const CLI::App* up = verb.get_parent(); up != nullptr; up = up->get_parent())
    path = up->get_name() + " " + path;
  told.hint += fmt::format("`{} --help` shows what it takes", path);
  return told;
}

// Every verb takes --json, which only the root declares: their help says so.
void mention_json(CLI::App& verb) {
  for (CLI::App* sub : verb.get_subcommands([](const CLI::App*) { return true; })) {
    mention_json(*sub);
    const std::string note = "With --json stdout holds JSON and nothing else.";
    sub->footer(sub->get_footer().empty() ? note : sub->get_footer() + "\n" + note);
  }
}

void run(int argc, char** argv, tera::app::Cli& cli) {
  CLI::App root("TeraGPT: design, plan, train and watch Mixture-of-Experts language models.",
                "teragpt");
  root.set_version_flag("--version", "teragpt " TERA_VERSION);
  root.require_subcommand(1);
  root.fallthrough();
  root.add_flag("--json", cli.json, "Print one JSON document (or one per line) on stdout");
  try {
    tera::log_to_stderr();
    add_all_commands(root, cli);
    mention_json(root);
    root.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      root.exit(error);
      return;
    }
    cli.json = std::find(argv, argv + argc, std::string_view("--json")) != argv + argc;
    cli.fail(usage_error(root, error));
  } catch (const std::bad_alloc&) {
    cli.fail({tera::ErrorCode::failed, "out of memory",
              "`teragpt plan` shows what a spec needs; ask for less, or close programs"});
  } catch (const std::exception& error) {
    cli.fail({tera::ErrorCode::failed, fmt::format("internal error: {}", error.what()),
              "please report this with the command line and the spec"});
    cli.exit_code = tera::app::exit_internal;
  }
}

}  // namespace

int main(int argc, char** argv) {
  // Files that may not grow further are an error of the write, not the end of the process.
  std::signal(SIGXFSZ, SIG_IGN);
  tera::app::Cli cli;
  run(argc, argv, cli);
  cli.finish();
  // What a full disk did not take must not look done to a script.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) &&
      cli.exit_code == tera::app::exit_done) {
    cli.fail({tera::ErrorCode::io, "standard output did not take all of the text",
              "free space on the file system it goes to, or send it elsewhere"});
  }
  return cli.exit_code;
}
