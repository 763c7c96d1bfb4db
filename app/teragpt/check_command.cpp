// teragpt check: every problem of a spec at once.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/spec_json.h"
#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/plan/param_table.h"
#include "core/spec/validate.h"

namespace tera::app {
namespace {

struct CheckOptions {
  std::string file;
  std::vector<std::string> overrides;
};

// What keeps this build from training a legal spec: worth knowing, no mistake.
std::vector<Diagnostic> engine_notes(const spec::ParsedSpec& parsed) {
  std::vector<Diagnostic> notes = spec::validate_for_engine(parsed.spec);
  for (Diagnostic& note : notes) {
    note.severity = Severity::note;
    std::tie(note.line, note.column) = spec::position_of(parsed, note.field);
  }
  return notes;
}

void print_summary(const spec::RunSpec& spec, bool trainable) {
  const plan::ParamCounts counts = plan::count_params(spec.model);
  fmt::print("{}: {} parameters, {} per token; {}; {} tokens per step\n", spec.name,
             format_count(static_cast<double>(counts.total)),
             format_count(static_cast<double>(counts.active)),
             counted(spec.layout.world_size(), "rank"), format_integer(spec.tokens_per_step()));
  fmt::print("{}\n",
             trainable ? "No problems: it can be planned and trained here."
                       : "No problems: it can be planned; the notes say what training here lacks.");
}

void check(Cli& cli, const CheckOptions& options) {
  const spec::ParsedSpec parsed = spec::load_and_validate(options.file, options.overrides);
  std::vector<Diagnostic> all = parsed.diagnostics;
  bool trainable = false;
  if (parsed.ok()) {
    const std::vector<Diagnostic> notes = engine_notes(parsed);
    trainable = notes.empty();
    all.insert(all.end(), notes.begin(), notes.end());
  }
  cli.report(options.file, all);
  if (cli.json) {
    nlohmann::ordered_json document;
    document["schema"] = "teragpt.check/1";
    document["file"] = options.file;
    document["valid"] = parsed.ok();
    document["trainable"] = trainable;
    document["diagnostics"] = to_json(all);
    cli.print_json(document);
  } else if (parsed.ok()) {
    print_summary(parsed.spec, trainable);
  } else {
    const auto errors = std::count_if(
        all.begin(), all.end(), [](const Diagnostic& d) { return d.severity == Severity::error; });
    fmt::print("{}: {}\n", options.file, counted(errors, "problem"));
  }
}

}  // namespace

void add_check_command(CLI::App& root, Cli& cli) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* verb = root.add_subcommand("check", "Parse and validate a spec: all problems at once");
  verb->add_option("SPEC", options->file, "Run spec (YAML)")->required();
  add_set_option(*verb, options->overrides);
  verb->footer("Example: teragpt check my-run.yaml --set layout.tensor_parallel_size=2");
  verb->callback([options, &cli] { check(cli, *options); });
}

}  // namespace tera::app
