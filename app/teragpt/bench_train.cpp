// teragpt bench train: steps of whole models, beside the processor's peak and PyTorch.
#include "app/teragpt/bench_train.h"

#include <algorithm>
#include <memory>

#include <unistd.h>

#include <fmt/format.h>

#include "app/teragpt/bench_device.h"
#include "app/teragpt/contest.h"
#include "app/teragpt/peak_memory.h"
#include "app/teragpt/stoppable_backend.h"
#include "app/teragpt/torch_peer.h"
#include "core/base/clock.h"
#include "core/base/median.h"
#include "core/base/thread_pool.h"
#include "core/base/units.h"
#include "core/plan/estimate.h"
#include "core/plan/optimizer_state.h"
#include "core/plan/param_table.h"
#include "core/spec/presets.h"
#include "core/spec/suggest.h"
#include "core/train/synthetic.h"

namespace tera::app {
namespace {

using nlohmann::ordered_json;

struct BenchTrainArguments : ContestArguments {
  std::vector<std::string> models = {"gpt2-124m", "tiny-moe"};
  std::vector<std::string> precisions = {"fp32", "bf16"};
  int batch = 4;
  int seq = 256;
  int steps = 2;
  std::string recompute = "none";
};

spec::RunSpec with_batch(spec::RunSpec spec, int batch) {
  spec.training.global_batch_size = batch;
  spec.layout.micro_batch_size = batch;
  return spec;
}

// Refuses, with the figures of the plan, what this machine has no memory for.
Result<void> check_memory(const spec::RunSpec& spec) {
  TERA_TRY(const plan::Estimate planned, plan::estimate(spec));
  if (planned.fits) return {};
  int fitting = 0;
  for (int most = spec.layout.micro_batch_size; most - fitting > 1;) {
    const int middle = fitting + (most - fitting) / 2;
    const Result<plan::Estimate> tried = plan::estimate(with_batch(spec, middle));
    (tried && tried->fits ? fitting : most) = middle;
  }
  return fail(ErrorCode::failed,
              fmt::format("{} in {} with --batch {} and --seq {} needs {}, this machine has {}",
                          spec.name, enum_name(spec.training.precision),
                          spec.layout.micro_batch_size, spec.training.seq_length,
                          format_bytes(planned.worst_bytes), format_bytes(planned.capacity_bytes)),
              fitting > 0 ? fmt::format("use --batch {} at most, or a shorter --seq", fitting)
                          : "it does not fit with --batch 1 either: name a smaller --model");
}

// Between steps and while a peer works.
Result<void> check_stop() {
  return app::check_stop("bench train", "the rows printed before are complete");
}

std::vector<std::string> recompute_names() {
  const auto& names = EnumNames<spec::RecomputeKind>::value;
  return {names.begin(), names.end()};
}

Result<spec::RunSpec> bench_spec(const BenchTrainArguments& args,
                                 const std::string& model,
                                 const std::string& precision) {
  TERA_TRY(const spec::ModelPreset preset, spec::model_preset(model));
  const auto parsed = enum_from_name<spec::Precision>(precision);
  if (!parsed || spec::has_narrow_products(*parsed)) {
    std::vector<std::string_view> trained;  // by this engine
    for (const std::string_view name : EnumNames<spec::Precision>::value) {
      if (!spec::has_narrow_products(*enum_from_name<spec::Precision>(name)))
        trained.push_back(name);
    }
    return fail(ErrorCode::invalid_input,
                fmt::format("--precision: got {}, expected {}", precision, spec::one_of(trained)),
                "name one or more: --precision fp32 bf16");
  }
  if (args.versus == "torch" && *parsed == spec::Precision::bf16_stochastic) {
    return fail(ErrorCode::invalid_input,
                "--vs torch: PyTorch has no optimizer that rounds bf16 weights by chance",
                "compare --precision bf16, which keeps f32 master weights on both sides");
  }
  if (args.seq > preset.model.max_position_embeddings) {
    return fail(ErrorCode::invalid_input,
                fmt::format("--seq {}: {} reads at most {} tokens", args.seq, model,
                            preset.model.max_position_embeddings),
                fmt::format("use at most {}", preset.model.max_position_embeddings));
  }
  TERA_TRY(const spec::ClusterPreset machine, spec::cluster_preset("this-machine"));
  spec::RunSpec spec;
  spec.name = model;
  spec.cluster = machine.cluster;
  spec = with_batch(std::move(spec), args.batch);
  spec.model = preset.model;
  spec.training.precision = *parsed;
  spec.training.seq_length = args.seq;
  spec.layout.recompute = *enum_from_name<spec::RecomputeKind>(args.recompute);
  spec.training.learning_rate = 1e-4;
  spec.training.min_learning_rate = 1e-5;
  TERA_TRY_VOID(check_memory(spec));
  return spec;
}

struct Peer {
  TorchPeer torch;
  Contestant result;
};

ordered_json train_settings(const spec::RunSpec& spec) {
  ordered_json settings = torch_settings(spec.model);
  settings["seq_length"] = spec.training.seq_length;
  settings["batch_size"] = spec.training.global_batch_size;
  settings["precision"] = enum_name(spec.training.precision);
  return settings;
}

Result<Peer> start_peer(const BenchTrainArguments& args,
                        const spec::RunSpec& spec,
                        int threads,
                        const std::string& variant) {
  TERA_TRY_VOID(check_torch_has(spec.name, spec.model));
  TERA_TRY(TorchPeer torch, TorchPeer::start({.script = "torch_train.py",
                                              .python = args.python,
                                              .settings = train_settings(spec),
                                              .variant = variant,
                                              .threads = threads,
                                              .verb = "bench train"}));
  const std::string note = torch.note();
  return Peer{std::move(torch), {.name = "torch " + variant, .note = note}};
}

Result<void> run_peer(Peer& peer, int steps, bool count) {
  TERA_TRY(const std::vector<double> steps_s,
           peer.torch.ask(fmt::format("run {}", steps), "steps_s"));
  if (count) peer.result.seconds.insert(peer.result.seconds.end(), steps_s.begin(), steps_s.end());
  return {};
}

// What a step takes at least: its products at the speed of multiply-adds in registers, and after
// them the update, which streams gradients, weights and optimizer states through memory.
struct Ceiling {
  DType product_dtype = DType::f32;
  double flops_per_s = 0;
  double bytes_per_s = 0;
  double step_s = 0;
};

// From the processor's peaks of each round.
Ceiling ceiling_of(const spec::RunSpec& spec, const std::vector<kernels::Peaks>& rounds) {
  // Products of fp16 run in f32 here.
  const bool bf16 = plan::compute_dtype(spec.training.precision) == DType::bf16;
  Ceiling ceiling{.product_dtype = bf16 ? DType::bf16 : DType::f32};
  std::vector<double> flops_per_s, bytes_per_s;
  for (const kernels::Peaks& peaks : rounds) {
    flops_per_s.push_back(peaks.flops_per_s(ceiling.product_dtype));
    bytes_per_s.push_back(peaks.memory_bytes_per_s);
  }
  double update_bytes = 0;
  for (const plan::ParamSpec& param : plan::make_param_table(spec.model))
    update_bytes += plan::update_work(param, spec.training).bytes;
  ceiling.flops_per_s = median(flops_per_s);
  ceiling.bytes_per_s = median(bytes_per_s);
  ceiling.step_s = plan::train_flops_per_token(spec.model, spec.training.seq_length) *
                       static_cast<double>(spec.tokens_per_step()) / ceiling.flops_per_s +
                   update_bytes / ceiling.bytes_per_s;
  return ceiling;
}

// One model in one precision: ceilings, ours and the peers in turn, round by round, after one
// warm-up each. Throws Stopped when asked to stop.
Result<ordered_json> measure(const BenchTrainArguments& args, const spec::RunSpec& spec) {
  ThreadPool pool(args.threads);
  const std::unique_ptr<Backend> backend = make_stoppable_backend(pool);
  train::SyntheticTrainer trainer(spec, *backend);
  Contestant ours{.name = "teragpt"};
  std::int64_t memory_bytes = 0;
  std::vector<kernels::Peaks> peaks;
  std::vector<Peer> peers;
  if (args.versus == "torch") {
    for (const char* variant : {"default", "tuned"}) {
      TERA_TRY(Peer peer, start_peer(args, spec, pool.size(), variant));
      peers.push_back(std::move(peer));
    }
  }
  for (int round = 0; round <= args.rounds; ++round) {  // round 0 warms up
    const int steps = round == 0 ? 1 : args.steps;
    if (round > 0) peaks.push_back(measure_peaks(pool));
    restart_peak_memory(::getpid());  // without the arrays that peaks are measured on
    if (round == 1) {
      for (const Peer& peer : peers)
        restart_peak_memory(peer.torch.pid());
    }
    for (int i = 0; i < steps; ++i) {
      const double start = monotonic_s();
      trainer.step();
      if (round > 0) ours.seconds.push_back(monotonic_s() - start);
    }
    if (round > 0) memory_bytes = std::max(memory_bytes, peak_memory_bytes(::getpid()).value_or(0));
    for (Peer& peer : peers)
      TERA_TRY_VOID(run_peer(peer, steps, round > 0));
  }
  TERA_TRY(const plan::Estimate planned, plan::estimate(spec));
  const double tokens = static_cast<double>(spec.tokens_per_step());
  const double flops = plan::train_flops_per_token(spec.model, args.seq) * tokens / ours.median_s();
  const Ceiling ceiling = ceiling_of(spec, peaks);
  ordered_json row = {{"model", spec.name},
                      {"precision", enum_name(spec.training.precision)},
                      {"batch", spec.training.global_batch_size},
                      {"sequence", spec.training.seq_length},
                      {"threads", pool.size()},
                      {"recompute", args.recompute},
                      {"step_s", ours.median_s()},
                      {"planned_step_s", planned.step_s},
                      {"min_step_s", *std::min_element(ours.seconds.begin(), ours.seconds.end())},
                      {"tokens_per_s", tokens / ours.median_s()},
                      {"model_flops_per_s", flops},
                      {"product_dtype", dtype_name(ceiling.product_dtype)},
                      {"peak_flops_per_s", ceiling.flops_per_s},
                      {"share_of_peak", flops / ceiling.flops_per_s},
                      {"peak_bytes_per_s", ceiling.bytes_per_s},
                      {"ceiling_step_s", ceiling.step_s},
                      {"share_of_ceiling", ceiling.step_s / ours.median_s()},
                      {"peak_memory_bytes", memory_bytes}};
  ordered_json others = ordered_json::array();
  for (const Peer& peer : peers) {
    others.push_back(peer_row(peer.result, peer.result.median_s(), tokens, ours.median_s()));
    others.back()["peak_memory_bytes"] = peak_memory_bytes(peer.torch.pid()).value_or(0);
  }
  row["peers"] = others;
  return row;
}

Result<ordered_json> bench_one(const BenchTrainArguments& args, const spec::RunSpec& spec) {
  try {
    return measure(args, spec);
  } catch (const Stopped&) {
    return tl::unexpected<Error>(check_stop().error());
  }
}

void print_row(const ordered_json& row) {
  const double step_s = row["step_s"].get<double>();
  const double planned_s = row["planned_step_s"].get<double>();
  fmt::print(
      "{:<12} {:<15} {:>9} tok/s  {:>9}/step (planned {}, {:+.0f} %)  {:>9}  {} = {} of peak, {} "
      "of the ceiling\n",
      row["model"].get<std::string>(), row["precision"].get<std::string>(),
      format_count(row["tokens_per_s"].get<double>()), format_seconds(step_s),
      format_seconds(planned_s), 100 * (planned_s / step_s - 1),
      format_bytes(row["peak_memory_bytes"].get<double>()),
      format_rate(row["model_flops_per_s"].get<double>(), "FLOP/s"),
      format_percent(row["share_of_peak"].get<double>()),
      format_percent(row["share_of_ceiling"].get<double>()));
  print_peers(row);
  std::fflush(stdout);
}

void bench_train(Cli& cli, const BenchTrainArguments& args) {
  catch_stop_signals();
  std::vector<spec::RunSpec> specs;  // all of them, before the first is measured
  for (const std::string& model : args.models) {
    for (const std::string& precision : args.precisions) {
      Result<spec::RunSpec> spec = bench_spec(args, model, precision);
      if (!spec) return cli.fail(spec.error());
      specs.push_back(std::move(*spec));
    }
  }
  ordered_json rows = ordered_json::array();
  for (const spec::RunSpec& spec : specs) {
    const Result<ordered_json> row = bench_one(args, spec);
    if (!row) return cli.fail(row.error());
    if (!cli.json) print_row(*row);
    rows.push_back(*row);
  }
  if (cli.json) cli.print_json({{"schema", "teragpt.bench/1"}, {"kind", "train"}, {"rows", rows}});
}

}  // namespace

void add_train_bench(CLI::App& bench, Cli& cli) {
  auto* verb = bench.add_subcommand(
      "train", "Training speed and memory of whole models, beside the ceiling and PyTorch");
  auto args = std::make_shared<BenchTrainArguments>();
  verb->add_option("--model", args->models, "Model presets")->capture_default_str();
  verb->add_option("--precision", args->precisions, "fp32, bf16, bf16_stochastic, fp16")
      ->capture_default_str();
  verb->add_option("--batch", args->batch, "Sequences per step")
      ->check(at_least(1, 1 << 20))
      ->capture_default_str();
  verb->add_option("--seq", args->seq, "Tokens per sequence")
      ->check(at_least(1))
      ->capture_default_str();
  verb->add_option("--recompute", args->recompute,
                   "Activations computed again in backward: none, selective (norms and "
                   "activation functions) or full")
      ->check(CLI::IsMember(recompute_names()))
      ->capture_default_str();
  verb->add_option("--steps", args->steps, "Steps per round")
      ->check(at_least(1))
      ->capture_default_str();
  add_contest_options(*verb, *args);
  verb->footer(
      "Example:\n  teragpt bench train --model gpt2-124m --precision fp32 --vs torch --python "
      "venv/bin/python\n"
      "The ceiling is the step whose products run at the peak of multiply-adds and whose update "
      "runs at the speed of memory, both measured in each round.");
  verb->callback([&cli, args] { bench_train(cli, *args); });
}

}  // namespace tera::app
