// teragpt validate: the planner held against published measurements.
#include <memory>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/validate_report.h"
#include "core/base/clock.h"
#include "core/base/vfs.h"
#include "core/plan/validation_summary.h"

namespace tera::app {
namespace {

struct ValidateOptions {
  std::string file;
  int num_worst = 0;
};

void validate(Cli& cli, const ValidateOptions& options) {
  constexpr std::uint64_t kMaxBytes = 64 << 20;
  const Result<std::string> text = read_text(posix_vfs(), options.file, kMaxBytes);
  if (!text) return cli.fail(text.error());
  const plan::PublishedTable table = plan::read_published_table(*text);
  if (!table.diagnostics.empty()) return cli.report(options.file, table.diagnostics);
  const Result<plan::PublishedPresets> presets = plan::load_published_presets();
  if (!presets) return cli.fail(presets.error());

  catch_stop_signals();
  std::vector<plan::RowPrediction> rows;
  Progress progress("validate", "rows");
  const double start_s = monotonic_s();
  for (const plan::PublishedRow& row : table.rows) {
    if (const auto asked = check_stop("validate", "nothing was written"); !asked)
      return cli.fail(asked.error());
    rows.push_back(plan::predict_row(row, *presets));
    if (monotonic_s() - start_s > 1) progress.update(std::ssize(rows), std::ssize(table.rows));
  }
  const plan::ValidationReport report = plan::summarize(rows);
  if (cli.json) {
    cli.print_json(validation_json(rows, report));
  } else {
    fmt::print("{}", validation_text(rows, report, options.num_worst));
  }
}

}  // namespace

void add_validate_command(CLI::App& root, Cli& cli) {
  auto options = std::make_shared<ValidateOptions>();
  CLI::App* verb =
      root.add_subcommand("validate", "Hold the planner against published measurements");
  verb->add_option("CSV", options->file,
                   "Table with the columns of resources/validation/published.csv")
      ->required();
  verb->add_option("--worst", options->num_worst, "Rows furthest off to list first")
      ->check(at_least(0));
  verb->footer(
      "Example:\n"
      "  teragpt validate resources/validation/published.csv --worst 20\n"
      "Errors are prediction / measurement - 1. Of the choices for unknown cells the fastest that\n"
      "fits counts, as of runs that were tuned; 'range' is the share of rows measured within the\n"
      "likely range of all choices.");
  verb->callback([options, &cli] { validate(cli, *options); });
}

}  // namespace tera::app
