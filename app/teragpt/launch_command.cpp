// teragpt launch: starts a run in the background, after showing byte for byte what will run.
#include <fmt/format.h>

#include "app/teragpt/run_view.h"
#include "core/base/units.h"
#include "core/launch/launcher.h"
#include "core/plan/estimate.h"
#include "core/base/hash.h"
#include "core/spec/validate.h"

namespace tera::app {
namespace {

struct LaunchArguments {
  std::string spec;
  RunArguments run;  // .run: one that exists, instead of a spec
  std::string target = "local";
  bool resume = false;
  bool dry_run = false;
  std::string expected_hash;
  std::vector<std::string> overrides;
};

// What is to be launched: a run that exists, or one that is planned under a new id.
struct Plan {
  spec::RunSpec spec;
  run::RunDirectory dir;
  bool is_new = false;
};

std::optional<Plan> make_plan(Cli& cli, const LaunchArguments& args) {
  if (!args.run.run.empty()) {
    const std::optional<run::RunDirectory> dir = open_run(cli, args.run);
    if (!dir) return std::nullopt;
    Result<spec::RunSpec> spec = dir->spec();
    if (!spec) {
      cli.fail(spec.error());
      return std::nullopt;
    }
    return Plan{std::move(*spec), *dir, false};
  }
  spec::RunSpec spec;
  if (!load_spec(cli, args.spec, args.overrides, spec)) return std::nullopt;
  if (const std::vector<Diagnostic> engine = spec::validate_for_engine(spec); has_errors(engine)) {
    cli.report(args.spec, engine);
    return std::nullopt;
  }
  return Plan{std::move(spec),
              run::RunDirectory::planned(posix_vfs(), args.run.root_path(), run::make_run_id()),
              true};
}

nlohmann::ordered_json to_json(const Plan& plan, const launch::LaunchScript& script) {
  nlohmann::ordered_json files = nlohmann::ordered_json::object();
  for (const auto& [path, text] : script.files)
    files[path] = {{"sha256", sha256_hex(text)}, {"text", text}};
  nlohmann::ordered_json environment = nlohmann::ordered_json::object();
  for (const auto& [name, value] : script.environment)
    environment[name] = value;
  nlohmann::ordered_json document = {{"schema", "teragpt.launch/1"},
                                     {"run", plan.dir.id()},
                                     {"path", plan.dir.path().string()},
                                     {"target", "local"},
                                     {"attempt", script.attempt},
                                     {"hash", script.hash},
                                     {"argv", script.argv},
                                     {"environment", environment},
                                     {"inherited", launch::inherited_variables()},
                                     {"log", script.log},
                                     {"files", files}};
  document["cost"] = nullptr;
  if (const Result<plan::Estimate> estimate = plan::estimate(plan.spec)) {
    document["cost"] = {{"seconds", estimate->run_s},
                        {"gpu_hours", estimate->device_hours},
                        {"usd", estimate->usd},
                        {"kwh", estimate->kwh}};
  }
  return document;
}

void print_dry_run(const Plan& plan, const launch::LaunchScript& script) {
  fmt::print("run          {}{}\n", plan.dir.path().string(),
             plan.is_new ? "  (a new id is drawn at the start)" : "");
  fmt::print("command      {}\n", script.command_line());
  for (const auto& [name, value] : script.environment)
    fmt::print("environment  {}={}\n", name, launch::shell_quote(value));
  fmt::print("inherited    {}\n", fmt::join(launch::inherited_variables(), " "));
  fmt::print("output       {}\n", script.log);
  if (const Result<plan::Estimate> estimate = plan::estimate(plan.spec)) {
    fmt::print("estimate     {}, {}, {}\n", format_seconds(estimate->run_s),
               format_money(estimate->usd), format_energy(estimate->kwh));
  } else {
    fmt::print("estimate     none: {}\n", estimate.error().message);
  }
  for (const auto& [path, text] : script.files) {
    fmt::print("file         {}  sha256 {}\n", path, sha256_hex(text));
    for (std::size_t begin = 0; begin < text.size();) {
      const auto newline = std::min(text.find('\n', begin), text.size());
      fmt::print("  | {}\n", text.substr(begin, newline - begin));
      begin = newline + 1;
    }
  }
  fmt::print("hash         {}\n", script.hash);
  fmt::print("start exactly this with: teragpt launch ... --expect-hash {}\n", script.hash);
}

// Starts the plan; a new run's directory is made here and removed again when nothing was started.
Result<std::int64_t> start(launch::Launcher& launcher,
                           Plan& plan,
                           const launch::LaunchOptions& options) {
  if (plan.is_new) {
    TERA_TRY(plan.dir, run::RunDirectory::create(posix_vfs(), plan.dir.path().parent_path(),
                                                 plan.spec, plan.dir.id()));
  }
  const auto begin = [&]() -> Result<std::int64_t> {
    TERA_TRY(const launch::LaunchScript script, launcher.render(plan.dir, options));
    return launcher.start(plan.dir, script);
  };
  Result<std::int64_t> pid = begin();
  if (!pid && plan.is_new) static_cast<void>(posix_vfs().remove_all(plan.dir.path()));
  return pid;
}

void launch_run(Cli& cli, const LaunchArguments& args) {
  std::optional<Plan> plan = make_plan(cli, args);
  if (!plan) return;
  const std::unique_ptr<launch::Launcher> launcher = launch::make_local_launcher();
  launch::LaunchOptions options{.program = {}, .resume = args.resume};
  if (plan->is_new) options.spec_text = run::run_spec_text(plan->spec);
  const Result<launch::LaunchScript> script = launcher->render(plan->dir, options);
  if (!script) return cli.fail(script.error());
  if (!args.expected_hash.empty() && args.expected_hash != script->hash) {
    return cli.fail({ErrorCode::failed,
                     fmt::format("what would run now has the hash {}, expected {}", script->hash,
                                 args.expected_hash),
                     "look at it again with --dry-run; nothing was started"});
  }
  if (args.dry_run) {
    if (cli.json) return cli.print_json(to_json(*plan, *script));
    return print_dry_run(*plan, *script);
  }
  const Result<std::int64_t> pid = start(*launcher, *plan, options);
  if (!pid) return cli.fail(pid.error());
  if (cli.json) {
    nlohmann::ordered_json document = to_json(*plan, *script);
    document["pid"] = *pid;
    return cli.print_json(document);
  }
  fmt::print("run {} started (process {})\n", plan->dir.id(), *pid);
  const std::string root =
      args.run.root.empty() ? std::string() : " --root " + launch::shell_quote(args.run.root);
  fmt::print("watch it: teragpt attach {0}{1}\nend it:   teragpt stop {0}{1}\n", plan->dir.id(),
             root);
}

}  // namespace

void add_launch_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand("launch", "Start a run in the background");
  auto args = std::make_shared<LaunchArguments>();
  auto* spec = verb->add_option("SPEC", args->spec, "Spec file (YAML) of a new run");
  auto* run = verb->add_option("--run", args->run.run, "Start a run that exists")->type_name("RUN");
  spec->excludes(run);
  verb->add_option("--on", args->target, "Where it runs")
      ->check(CLI::IsMember({"local"}))
      ->capture_default_str();
  verb->add_flag("--resume", args->resume, "Continue from the newest checkpoint that verifies")
      ->needs(run);
  verb->add_flag("--dry-run", args->dry_run, "Show exactly what would run, and start nothing");
  verb->add_option("--expect-hash", args->expected_hash,
                   "Refuse unless what runs has this hash (from --dry-run)")
      ->type_name("HASH");
  add_root_option(*verb, args->run.root);
  add_set_option(*verb, args->overrides);
  verb->footer(
      "Example:\n  teragpt launch tiny-moe.yaml --dry-run\n  teragpt launch tiny-moe.yaml\n"
      "  teragpt launch --run 20260101-120000-0a1b2c3d --resume\n"
      "The run goes on when this program ends: teragpt attach, logs and stop find it again.");
  verb->callback([&cli, args] {
    if (args->spec.empty() && args->run.run.empty()) {
      return cli.fail({ErrorCode::invalid_input,
                       "launch: got neither SPEC nor --run RUN, expected one of them",
                       "teragpt launch --help shows examples"});
    }
    if (!args->run.run.empty() && !args->overrides.empty()) {
      return cli.fail({ErrorCode::invalid_input,
                       "--set cannot change the spec of a run that exists",
                       "start a new run: teragpt launch SPEC --set ..."});
    }
    launch_run(cli, *args);
  });
}

}  // namespace tera::app
