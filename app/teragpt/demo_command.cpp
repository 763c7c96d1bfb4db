// teragpt demo: the whole job on bundled settings: text, tokenizer, plan, training, sample.
#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "app/teragpt/bench_device.h"
#include "app/teragpt/checkpoint_model.h"
#include "app/teragpt/cli.h"
#include "app/teragpt/demo_data.h"
#include "core/base/median.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/infer/generate.h"
#include "core/plan/estimate.h"
#include "core/run/run_directory.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"
#include "core/train/rank_main.h"

namespace tera::app {
namespace {

namespace fs = std::filesystem;

struct DemoArguments {
  std::string out;
  bool prepare_only = false;
  std::int64_t steps = 200;
  std::string prompt = "And it came to pass";
  std::vector<std::string> overrides;
};

// What the run showed, kept for the closing report.
struct Observed {
  std::vector<double> losses;
  std::vector<double> tokens_per_s;
  std::vector<std::pair<std::int64_t, double>> held_out;
  run::MetricRecord last;

  double median_speed() const { return tokens_per_s.empty() ? 0 : median(tokens_per_s); }
};

void print_plan(const spec::RunSpec& spec, const plan::Estimate& estimate) {
  fmt::print("plan\n");
  fmt::print("  model     {} parameters, {} active per token\n",
             format_count(static_cast<double>(estimate.params.total)),
             format_count(static_cast<double>(estimate.params.active)));
  fmt::print("  memory    {} of {}\n", format_bytes(estimate.worst_bytes),
             format_bytes(estimate.capacity_bytes));
  fmt::print("  time      {} per step ({} to {}), {}, {} steps in {}\n",
             format_seconds(estimate.step_s), format_seconds(estimate.low_s),
             format_seconds(estimate.high_s), format_rate(estimate.tokens_per_s, "tok/s"),
             spec.training.num_steps, format_seconds(estimate.cost.run_s));
}

void print_expert_load(const run::MetricRecord& record) {
  fmt::print("expert load in the last step (1.00 = even)\n");
  for (std::size_t row = 0; row < record.expert_load.size(); ++row) {
    const std::vector<double>& load = record.expert_load[row];
    double total = 0;
    for (const double tokens : load)
      total += tokens;
    std::string line = fmt::format("  layer {:<3}", record.expert_layers[row]);
    for (const double tokens : load)
      line +=
          fmt::format(" {:5.2f}", tokens * static_cast<double>(load.size()) / std::max(1.0, total));
    fmt::print("{}\n", line);
  }
}

void print_step(const run::MetricRecord& record, std::int64_t num_steps) {
  const bool shown = record.step == 1 || record.step % 10 == 0 || record.step == num_steps ||
                     record.has("eval_loss");
  if (!shown) return;
  print_if_read(fmt::format(
      "  step {:>4}/{}  loss {:.4f}  {:>11}{}\n", record.step, num_steps,
      record.value("loss", std::nan("")), format_rate(record.value("tokens_per_s", 0), "tok/s"),
      record.has("eval_loss") ? fmt::format("  held-out {:.4f}", record.value("eval_loss", 0))
                              : ""));
}

nlohmann::ordered_json report_json(const run::RunDirectory& dir,
                                   const spec::RunSpec& spec,
                                   const plan::Estimate& estimate,
                                   const Observed& seen,
                                   const infer::Generated& sample) {
  nlohmann::ordered_json held_out = nlohmann::ordered_json::array();
  for (const auto& [step, loss] : seen.held_out)
    held_out.push_back({{"step", step}, {"loss", loss}});
  return {{"schema", "teragpt.demo/1"},
          {"run", dir.path().string()},
          {"total_params", estimate.params.total},
          {"active_params", estimate.params.active},
          {"planned_bytes", estimate.worst_bytes},
          {"planned_tokens_per_s", estimate.tokens_per_s},
          {"tokens_per_s", seen.median_speed()},
          {"uniform_loss", std::log(static_cast<double>(spec.model.vocab_size))},
          {"first_loss", seen.losses.empty() ? 0.0 : seen.losses.front()},
          {"last_loss", seen.losses.empty() ? 0.0 : seen.losses.back()},
          {"held_out", held_out},
          {"expert_load", seen.last.expert_load},
          {"sample", sample.text}};
}

void print_report(const run::RunDirectory& dir,
                  const spec::RunSpec& spec,
                  const plan::Estimate& estimate,
                  const Observed& seen) {
  const double uniform = std::log(static_cast<double>(spec.model.vocab_size));
  const double measured = seen.median_speed();
  fmt::print("result\n");
  fmt::print("  loss      {:.3f} to {:.3f} nats per token (ln of the vocabulary is {:.3f})\n",
             seen.losses.front(), seen.losses.back(), uniform);
  if (!seen.held_out.empty()) {
    fmt::print("  held out  {:.3f} at step {}, {:.3f} below ln of the vocabulary\n",
               seen.held_out.back().second, seen.held_out.back().first,
               uniform - seen.held_out.back().second);
  }
  fmt::print("  speed     {} measured, {} planned: {:.2f} of the plan\n",
             format_rate(measured, "tok/s"), format_rate(estimate.tokens_per_s, "tok/s"),
             measured / estimate.tokens_per_s);
  print_expert_load(seen.last);
  fmt::print("run\n  {}\n", dir.path().string());
}

Result<infer::Generated> sample(Cli& cli, const run::RunDirectory& dir, const std::string& text) {
  TERA_TRY(const std::unique_ptr<CheckpointModel> model,
           CheckpointModel::load({.checkpoint = dir.path().string()}));
  TERA_TRY(const data::Tokenizer* const tokenizer, model->require_tokenizer());
  TERA_TRY(const infer::Prompt prompt, infer::make_prompt(*tokenizer, text, 0));
  if (!cli.json) fmt::print("sample\n  {}", text);
  TERA_TRY(infer::Generation made,
           infer::generate(model->model(), tokenizer, {&prompt, 1}, {.max_tokens = 60},
                           {.on_piece =
                                [&](int, std::string_view piece) {
                                  if (!cli.json) fmt::print("{}", piece);
                                  std::fflush(stdout);
                                },
                            .keep_going = [] { return stop_requests() == 0; }}));
  if (!cli.json) fmt::print("\n");
  return std::move(made.texts.front());
}

Result<train::TrainEnd> train_demo(Cli& cli,
                                   const run::RunDirectory& dir,
                                   std::int64_t num_steps,
                                   Observed& seen) {
  train::TrainOptions options;
  options.stop_requested = &stop_requests();
  options.on_record = [&](const run::MetricRecord& record) {
    seen.losses.push_back(record.value("loss", std::nan("")));
    seen.tokens_per_s.push_back(record.value("tokens_per_s", 0));
    if (record.has("eval_loss"))
      seen.held_out.emplace_back(record.step, record.value("eval_loss", 0));
    seen.last = record;
    if (!cli.json) print_step(record, num_steps);
  };
  if (!cli.json) fmt::print("training in {}\n", dir.path().string());
  return train::run_training(dir, options);
}

Result<void> run_demo(Cli& cli, const DemoArguments& args) {
  const fs::path out = args.out.empty() ? default_demo_dir() : fs::absolute(args.out);
  TERA_TRY(const fs::path spec_path, prepare_demo(out));
  TERA_TRY(const fs::path profile, ensure_device_profile());
  if (args.prepare_only) {
    if (cli.json) {
      cli.print_json({{"schema", "teragpt.demo/1"},
                      {"spec", spec_path.string()},
                      {"device_profile", profile.string()}});
    } else {
      fmt::print("{}\n", spec_path.string());
    }
    return {};
  }
  // A tenth of a short run warms up; --set can say otherwise.
  std::vector<std::string> overrides = {
      fmt::format("training.num_steps={}", args.steps),
      fmt::format("training.warmup_steps={}", std::clamp<std::int64_t>(args.steps / 10, 0, 20))};
  overrides.insert(overrides.end(), args.overrides.begin(), args.overrides.end());
  spec::RunSpec spec;
  if (!load_spec(cli, spec_path.string(), overrides, spec)) return {};
  TERA_TRY(const plan::Estimate estimate, plan::estimate(spec));
  if (!cli.json) print_plan(spec, estimate);
  TERA_TRY(const run::RunDirectory dir,
           run::RunDirectory::create(posix_vfs(), run::default_runs_root(), spec));
  Observed seen;
  TERA_TRY(const train::TrainEnd end, train_demo(cli, dir, spec.training.num_steps, seen));
  if (end == train::TrainEnd::stopped) {
    cli.exit_code = exit_stopped;
    if (!cli.json)
      print_if_read(fmt::format(
          "stopped after a checkpoint; go on with: teragpt train --run {} --resume\n", dir.id()));
    return {};
  }
  if (!cli.json) print_report(dir, spec, estimate, seen);
  TERA_TRY(const infer::Generated text, sample(cli, dir, args.prompt));
  if (cli.json) cli.print_json(report_json(dir, spec, estimate, seen, text));
  return {};
}

}  // namespace

void add_demo_command(CLI::App& root, Cli& cli) {
  auto* verb = root.add_subcommand(
      "demo", "The whole job on this computer: text, tokenizer, plan, training, sample");
  auto args = std::make_shared<DemoArguments>();
  verb->add_option("--out", args->out, "Folder of the project (default: the user's data folder)")
      ->type_name("DIR");
  verb->add_flag("--prepare-only", args->prepare_only,
                 "Stop when the data and the spec are ready; print the spec's path");
  verb->add_option("--steps", args->steps, "Training steps")
      ->check(at_least(1))
      ->capture_default_str();
  verb->add_option("--prompt", args->prompt, "Text the sample goes on from")->capture_default_str();
  add_set_option(*verb, args->overrides);
  verb->footer("Example:\n  teragpt demo --steps 100");
  verb->callback([&cli, args] {
    catch_stop_signals();
    outlive_readers();
    if (const Result<void> done = run_demo(cli, *args); !done) {
      Error error = done.error();
      if (stop_requests().load() > 0) error.hint = "start it again: what was ready is kept";
      cli.fail(error);
    }
  });
}

}  // namespace tera::app
