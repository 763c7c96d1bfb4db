// teragpt search: the best layouts of a model on a cluster, with proof.
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "app/teragpt/cli.h"
#include "app/teragpt/search_report.h"
#include "core/base/clock.h"
#include "core/base/thread_pool.h"
#include "core/base/vfs.h"
#include "core/plan/search_relaxation.h"
#include "core/spec/validate.h"

namespace tera::app {
namespace {

struct SearchArguments {
  std::string file;
  std::int64_t gpus = 0;
  std::string objective = "time";
  double memory_limit = 0;
  std::vector<std::string> fixed;
  int top = 20;
  int compare = 0;
  int threads = 0;
  std::string output;
  bool force = false;
  std::vector<std::string> overrides;
};

bool has_layout_errors_alone(const spec::ParsedSpec& parsed, const std::string& file) {
  const auto is_override = [](const Diagnostic& d) { return d.field == "--set"; };
  if (!spec::load_run_spec(file).ok() ||
      std::any_of(parsed.diagnostics.begin(), parsed.diagnostics.end(), is_override))
    return false;
  spec::RunSpec alone = parsed.spec;
  alone.layout = spec::ParallelLayout{};
  return !has_errors(spec::validate(alone));
}

// The spec, whose own layout need not be legal.
std::optional<spec::RunSpec> load(Cli& cli, const SearchArguments& arguments) {
  spec::ParsedSpec parsed = spec::load_and_validate(arguments.file, arguments.overrides);
  if (!parsed.ok() && !has_layout_errors_alone(parsed, arguments.file)) {
    cli.report(arguments.file, parsed.diagnostics);
    return std::nullopt;
  }
  if (arguments.gpus > 0) {
    const Result<spec::Cluster> cluster = plan::cluster_of(parsed.spec.cluster, arguments.gpus);
    if (!cluster) {
      cli.fail(
          {ErrorCode::invalid_input, "--gpus: " + cluster.error().message, cluster.error().hint});
      return std::nullopt;
    }
    parsed.spec.cluster = *cluster;
  }
  return parsed.spec;
}

std::optional<plan::Estimate> own_estimate(const spec::RunSpec& spec) {
  if (spec.layout.world_size() != spec.cluster.num_devices()) return std::nullopt;
  Result<plan::Estimate> own = plan::estimate(spec);
  return own ? std::optional(std::move(*own)) : std::nullopt;
}

void search(Cli& cli, const SearchArguments& arguments) {
  if (!arguments.output.empty()) {
    const Result<void> writable = check_can_write(posix_vfs(), arguments.output);
    if (!writable) return cli.fail(writable.error());
  }
  const std::optional<spec::RunSpec> spec = load(cli, arguments);
  if (!spec) return;
  Result<plan::FixedAxes> fixed = plan::FixedAxes::parse(arguments.fixed);
  if (!fixed) return cli.fail(fixed.error());
  const plan::SearchOptions options{
      .fixed = std::move(*fixed),
      .objective = arguments.objective == "time"   ? plan::SearchObjective::time
                   : arguments.objective == "cost" ? plan::SearchObjective::cost
                                                   : plan::SearchObjective::memory,
      .memory_limit_bytes = arguments.memory_limit,
      .top = arguments.top};

  catch_stop_signals();
  ThreadPool pool(arguments.threads);
  Progress progress("search", "layouts");
  const double start_s = monotonic_s();
  const auto tell = [&](const plan::SearchProgress& p) {
    if (monotonic_s() - start_s > 1) progress.update(p.done, p.total);
  };
  Result<plan::SearchResult> found =
      plan::search_layouts(*spec, options, {.pool = pool, .stop = stop_requests(), .report = tell});
  if (!found) return cli.fail(found.error());
  const double seconds = monotonic_s() - start_s;
  const bool complete = found->complete;
  if (found->best.empty()) {
    return cli.fail({ErrorCode::failed, "search was stopped before it found a layout that fits",
                     "let it run longer"});
  }
  Result<SearchReport> report =
      make_report(*spec, options, std::move(*found), own_estimate(*spec), arguments.compare);
  if (!report) return cli.fail(report.error());
  report->seconds = seconds;
  if (!arguments.output.empty()) {
    const Result<void> written =
        write_new_file(arguments.output, spec::to_template_yaml(report->spec), arguments.force);
    if (!written) return cli.fail(written.error());
  }
  if (cli.json) {
    cli.print_json(search_json(*report));
  } else {
    fmt::print("{}", search_text(*report));
    if (!arguments.output.empty())
      fmt::print("\nThe best is in {}: `teragpt plan {}`\n", printable(arguments.output),
                 printable(arguments.output));
  }
  if (!complete) cli.exit_code = exit_no;
}

}  // namespace

void add_search_command(CLI::App& root, Cli& cli) {
  auto arguments = std::make_shared<SearchArguments>();
  CLI::App* verb = root.add_subcommand(
      "search", "Find the best layouts of a model on its cluster, and prove that they are");
  verb->add_option("SPEC", arguments->file, "Run spec (YAML); its layout need not be legal")
      ->required();
  verb->add_option("--gpus", arguments->gpus, "Devices to use, all of them; default: the cluster's")
      ->check(at_least(1, 1 << 20));
  verb->add_option("--objective", arguments->objective,
                   "What is best: time of a step, cost of the run, or memory of a device")
      ->check(one_of({"time", "cost", "memory"}))
      ->capture_default_str();
  verb->add_option("--memory-limit", arguments->memory_limit,
                   "Bytes of a device that a layout may need; default: all it has")
      ->check(number_between(1, 1e18));
  verb->add_option("--fix", arguments->fixed,
                   "Hold an axis of the layout to some values; may be repeated")
      ->type_name("AXIS=VALUE,...");
  verb->add_option("--top", arguments->top, "Layouts to find")
      ->check(at_least(1, 1000))
      ->capture_default_str();
  verb->add_option("--compare", arguments->compare,
                   "Show the best against the layout of this rank, term by term; default: against "
                   "the layout in the spec")
      ->check(at_least(2, 1000));
  verb->add_option("--threads", arguments->threads, "Threads; default: all processors")
      ->check(at_least(1, 1024));
  verb->add_option("-o,--output", arguments->output, "Write the spec with the best layout")
      ->type_name("FILE");
  verb->add_flag("--force", arguments->force, "Replace FILE if it exists");
  add_set_option(*verb, arguments->overrides);
  verb->footer(
      "Examples:\n"
      "  teragpt search moe-1t.yaml -o best.yaml\n"
      "  teragpt search moe-1t.yaml --gpus 4096 --objective cost --fix zero_stage=0,1\n"
      "  teragpt search moe-1t.yaml --fix offload.weights=none --fix schedule=1f1b,interleaved\n"
      "Ctrl-C stops it and keeps the best so far, which is then not proven.");
  verb->callback([arguments, &cli] { search(cli, *arguments); });
}

}  // namespace tera::app
