// teragpt validate: the planner held against published measurements.
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/published_file.h"
#include "app/teragpt/validate_report.h"
#include "app/teragpt/validation_page.h"
#include "core/base/clock.h"
#include "core/base/vfs.h"
#include "core/plan/calibration.h"
#include "core/plan/left_out_error.h"
#include "core/plan/validation_summary.h"

namespace tera::app {
namespace {

struct ValidateOptions {
  std::string file;
  std::string calibration_file;
  std::string scatter_file;
  std::string left_out_file;
  int num_worst = 0;
};

void validate(Cli& cli, const ValidateOptions& options) {
  const auto table = read_published_rows(cli, options.file);
  if (!table) return;
  const Result<plan::PublishedPresets> presets = plan::load_published_presets();
  if (!presets) return cli.fail(presets.error());
  for (const std::string& file : {options.scatter_file, options.left_out_file}) {
    if (file.empty()) continue;
    if (const auto ready = check_can_write(posix_vfs(), file); !ready)
      return cli.fail(ready.error());
  }

  catch_stop_signals();
  std::optional<plan::Calibration> calibration;
  if (!options.calibration_file.empty()) {
    const auto known = read_published_rows(cli, options.calibration_file);
    if (!known) return;
    Progress progress("calibrate", "%");
    Result<void> asked;
    calibration = plan::calibrate(*known, *presets, [&](double share) {
      progress.update(static_cast<std::int64_t>(100 * share), 100);
      asked = check_stop("validate", "nothing was written");
      return asked.has_value();
    });
    if (!asked) return cli.fail(asked.error());
  }
  std::map<std::string, plan::PublishedPresets> by_group;
  const auto presets_for = [&](const plan::PublishedRow& row) -> const plan::PublishedPresets& {
    if (!calibration) return *presets;
    auto found = by_group.find(row.group);
    if (found == by_group.end()) {
      found = by_group.emplace(row.group, with_values(*presets, calibration->for_group(row.group)))
                  .first;
    }
    return found->second;
  };
  std::vector<plan::RowPrediction> rows;
  Progress progress("validate", "rows");
  const double start_s = monotonic_s();
  for (const plan::PublishedRow& row : *table) {
    if (const auto asked = check_stop("validate", "nothing was written"); !asked)
      return cli.fail(asked.error());
    rows.push_back(plan::predict_row(row, presets_for(row)));
    if (monotonic_s() - start_s > 1) progress.update(std::ssize(rows), std::ssize(*table));
  }
  if (!options.scatter_file.empty()) {
    const auto written =
        write_file_atomic(posix_vfs(), options.scatter_file, validation_scatter(rows));
    if (!written) return cli.fail(written.error());
  }
  const plan::ValidationReport report = plan::summarize(rows);
  if (!options.left_out_file.empty()) {
    const auto written =
        write_file_atomic(posix_vfs(), options.left_out_file, plan::left_out_text(report));
    if (!written) return cli.fail(written.error());
  }
  if (cli.json) {
    nlohmann::ordered_json document = validation_json(rows, report);
    if (calibration) document["calibration"] = calibration_json(*calibration, *presets);
    cli.print_json(document);
  } else {
    fmt::print("{}", validation_text(rows, report, options.num_worst));
    if (calibration) fmt::print("{}", calibration_text(*calibration, *presets));
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
  CLI::Option* calibrate = verb->add_option(
      "--calibrate", options->calibration_file,
      "Fit what no data sheet says to this table, starting from what is expected of it; "
      "rows of its groups are predicted with values fitted to the other groups");
  verb->add_option("--worst", options->num_worst, "Rows furthest off to list first")
      ->check(at_least(0));
  verb->add_option("--scatter", options->scatter_file,
                   "Write a picture of predicted against measured step times (SVG)")
      ->type_name("FILE");
  verb->add_option("--left-out", options->left_out_file,
                   "Write the errors of rows whose groups were left out, which plans quote (CSV)")
      ->type_name("FILE")
      ->needs(calibrate);
  verb->footer(
      "Examples:\n"
      "  teragpt validate resources/validation/published.csv --worst 20\n"
      "  teragpt validate resources/validation/published.csv --scatter scatter.svg\n"
      "Errors are prediction / measurement - 1. Of the choices for unknown cells the fastest that\n"
      "fits counts, as of runs that were tuned; 'range' is the share of rows measured within the\n"
      "likely range of all choices. Without --calibrate the values in use predict, which were\n"
      "fitted to all groups of resources/validation/published.csv.");
  verb->callback([options, &cli] { validate(cli, *options); });
}

}  // namespace tera::app
