// TorchTitan's TOML. Names and defaults: torchtitan/config/job_config.py of 0.1 and 0.2; names that
// changed between them are read in both forms and written in the newer.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include <fmt/format.h>

#include "core/spec/interchange/mapping.h"
#include "core/spec/interchange/pipeline_chunks.h"
#include "core/spec/interchange/torchtitan_flavors.h"
#include "core/spec/interchange/torchtitan_software.h"
#include "core/spec/suggest.h"

namespace tera::spec {
namespace {

bool has_adam(const RunSpec& spec) {
  return spec.training.optimizer == OptimizerKind::adamw;
}

constexpr Word kOptimizers[] = {{"AdamW", "adamw"}, {"Adam", "adamw"}};
constexpr Word kRecompute[] = {{"none", "none"}, {"selective", "selective"}, {"full", "full"}};
constexpr Word kSchedules[] = {{"1F1B", "1f1b"},
                               {"1f1b", "1f1b"},
                               {"GPipe", "gpipe"},
                               {"gpipe", "gpipe"},
                               {"Interleaved1F1B", "interleaved"},
                               {"ZBVZeroBubble", "zb-v"},
                               {"DualPipeV", "dualpipe-v"}};
constexpr Word kPrecisions[] = {{"bfloat16", "bf16"}, {"float32", "fp32"}};
constexpr Word kDecays[] = {{"linear", "linear"}, {"cosine", "cosine"}, {"sqrt", "minus_sqrt"}};
constexpr Word kReshard[] = {{"default", "default"}, {"always", "always"}, {"never", "never"}};

constexpr Row kRows[] = {
    {.key = "optimizer.name",
     .field = "training.optimizer",
     .otherwise = "AdamW",
     .words = kOptimizers},
    {.key = "optimizer.lr", .field = "training.learning_rate", .otherwise = "8e-4"},
    {.key = "optimizer.eps", .field = "training.adam_eps", .otherwise = "1e-8", .when = has_adam},
    {.key = "optimizer.beta1",
     .field = "training.adam_beta1",
     .otherwise = "0.9",
     .when = has_adam},
    {.key = "optimizer.beta2",
     .field = "training.adam_beta2",
     .otherwise = "0.95",
     .when = has_adam},
    {.key = "optimizer.weight_decay", .field = "training.weight_decay", .otherwise = "0.1"},
    {.key = "lr_scheduler.warmup_steps", .field = "training.warmup_steps", .otherwise = "200"},
    {.key = "training.local_batch_size", .field = "layout.micro_batch_size"},
    {.key = "training.seq_len", .field = "training.seq_length", .otherwise = "2048"},
    {.key = "training.max_norm", .field = "training.grad_clip", .otherwise = "1.0"},
    {.key = "training.steps", .field = "training.num_steps", .otherwise = "10000"},
    {.key = "training.mixed_precision_param",
     .field = "training.precision",
     .otherwise = "bfloat16",
     .words = kPrecisions},
    {.key = "parallelism.tensor_parallel_degree",
     .field = "layout.tensor_parallel_size",
     .otherwise = "1"},
    {.key = "parallelism.pipeline_parallel_degree",
     .field = "layout.pipeline_parallel_size",
     .otherwise = "1"},
    {.key = "parallelism.context_parallel_degree",
     .field = "layout.context_parallel_size",
     .otherwise = "1"},
    {.key = "parallelism.expert_parallel_degree",
     .field = "layout.expert_parallel_size",
     .otherwise = "1"},
    {.key = "parallelism.expert_tensor_parallel_degree",
     .field = "layout.expert_tensor_parallel_size",
     .otherwise = "1"},
    {.key = "parallelism.pipeline_parallel_schedule",
     .field = "layout.schedule",
     .otherwise = "1F1B",
     .words = kSchedules},
    {.key = "parallelism.enable_async_tensor_parallel",
     .field = "software.tensor_overlap",
     .otherwise = "false"},
    {.key = "activation_checkpoint.mode",
     .field = "layout.recompute",
     .otherwise = "selective",
     .words = kRecompute},
    {.key = "checkpoint.interval", .field = "training.checkpoint_interval", .otherwise = "500"},
};

constexpr std::string_view kFiles[] = {"job.*",
                                       "checkpoint.*",
                                       "training.dataset*",
                                       "model.tokenizer_path",
                                       "model.hf_assets_path",
                                       "experimental.*",
                                       "validation.*"};
constexpr std::string_view kLogging[] = {"profiling.*",       "metrics.*", "comm.*",
                                         "fault_tolerance.*", "debug.*",   "memory_estimation.*"};
constexpr std::string_view kKernels[] = {"compile.*",
                                         "optimizer.implementation",
                                         "parallelism.disable_loss_parallel",
                                         "parallelism.context_parallel_rotate_method",
                                         "parallelism.enable_compiled_autograd",
                                         "activation_checkpoint.*",
                                         "training.gc_*",
                                         "training.deterministic",
                                         "model.norm_type",
                                         "model.print_after_conversion",
                                         "optimizer.fused"};
constexpr std::string_view kLowPrecision[] = {"float8.*", "quantize.*", "mx.*"};
constexpr std::string_view kSplits[] = {"parallelism.pipeline_parallel_*",
                                        "parallelism.module_fqns_per_model_part"};

constexpr IdleKeys kIdle[] = {
    {"files of the run: data.datasets, data.tokenizer and checkpoints are set here", kFiles},
    {"logging does not change the run", kLogging},
    {"one set of kernels is planned", kKernels},
    {"which products have 8 bits, and how scales travel, is the recipe's", kLowPrecision},
    {"stages are equal here, and micro-batches are of training.local_batch_size", kSplits},
};

constexpr Mapping kMapping{
    .title = "TorchTitan", .rows = kRows, .idle = kIdle, .fractions_have_point = true};

void read_model(Importer& in) {
  const auto family = in.text("model.name");
  const auto name = in.text("model.flavor");
  ModelConfig& m = in.spec().model;
  if (!family && !name) return;  // the model stays
  std::vector<std::string_view> families;
  std::vector<std::string_view> flavors;
  for (const TitanFlavor& flavor : titan_flavors()) {
    if (families.empty() || families.back() != flavor.family) families.push_back(flavor.family);
    if (flavor.family == family) flavors.push_back(flavor.flavor);
    if (flavor.family != family || flavor.flavor != name) continue;
    m = flavor.model;
    return;
  }
  if (flavors.empty()) {
    return in.error("model.name",
                    fmt::format("got '{}', expected {}", family.value_or(""), one_of(families)),
                    "take [model] out of the file and name a spec of the model with --onto");
  }
  in.error("model.flavor", fmt::format("got '{}', expected {}", name.value_or(""), one_of(flavors)),
           "take [model] out of the file and name a spec of the model with --onto");
}

void read_schedule(Importer& in) {
  TrainingConfig& t = in.spec().training;
  const auto factor = in.number(in.has("lr_scheduler.lr_min") ? "lr_scheduler.lr_min"
                                                              : "lr_scheduler.min_lr_factor");
  t.min_learning_rate = without_rounding(factor.value_or(0) * t.learning_rate);
  const std::string decay = in.word("lr_scheduler.decay_type", kDecays).value_or("linear");
  const auto ratio = in.number("lr_scheduler.decay_ratio");
  if (ratio && (*ratio < 0 || *ratio > 1))
    return in.error("lr_scheduler.decay_ratio", fmt::format("got {}, expected 0 to 1", *ratio));
  if (!ratio && decay != "minus_sqrt") {
    t.lr_schedule = decay == "cosine" ? LrScheduleKind::cosine : LrScheduleKind::linear;
    return;
  }
  t.lr_schedule = LrScheduleKind::wsd;
  t.wsd_decay = decay == "linear"   ? WsdDecay::linear
                : decay == "cosine" ? WsdDecay::cosine
                                    : WsdDecay::minus_sqrt;
  t.decay_steps = ratio ? std::llround(*ratio * static_cast<double>(t.num_steps))
                        : t.num_steps - t.warmup_steps;
}

// Replicas: those that share weights (FSDP) times those that copy them.
void read_replicas(Importer& in, std::int64_t num_gpus) {
  ParallelLayout& layout = in.spec().layout;
  constexpr const char* kShard = "parallelism.data_parallel_shard_degree";
  constexpr const char* kCopy = "parallelism.data_parallel_replicate_degree";
  constexpr std::int64_t kMost = 1 << 20;
  const std::int64_t copies = in.integer(kCopy).value_or(1);
  std::int64_t shards = in.integer(kShard).value_or(-1);
  if (copies < 1 || copies > kMost || shards > kMost || shards == 0 || shards < -1) {
    return in.error(copies < 1 || copies > kMost ? kCopy : kShard,
                    fmt::format("got {}, expected -1 for the GPUs that are left, or 1 to {}",
                                copies < 1 || copies > kMost ? copies : shards, kMost));
  }
  if (shards == -1 && num_gpus == 0) {
    return in.error(kShard,
                    "is -1, all GPUs that are left, but how many there are is not in the file",
                    "say it with --gpus");
  }
  if (num_gpus > 0) {
    share_out_ranks(in, kShard, 0, num_gpus);
    if (!in.ok()) return;
    if (layout.data_parallel_size % copies != 0 ||
        (shards > 0 && copies * shards != layout.data_parallel_size)) {
      return in.error(kCopy, fmt::format("{} copies x {} shards are not the {} replicas of {} GPUs",
                                         copies, shards, layout.data_parallel_size, num_gpus));
    }
    shards = layout.data_parallel_size / copies;
  }
  if (copies * shards > kMost)
    return in.error(kShard, fmt::format("{} x {} replicas are too many", copies, shards));
  layout.data_parallel_size = static_cast<int>(copies * shards);
  const std::string reshard =
      in.word("parallelism.fsdp_reshard_after_forward", kReshard).value_or("default");
  const bool keeps =
      reshard == "never" || (reshard == "default" && layout.pipeline_parallel_size > 1);
  layout.zero_stage = shards == 1 ? 0 : keeps ? 2 : 3;
  layout.zero_replicas = shards == 1 ? 1 : static_cast<int>(copies);
}

void read_batch(Importer& in) {
  RunSpec& spec = in.spec();
  if (!in.has("training.local_batch_size")) {
    const std::int64_t size = in.integer("training.batch_size").value_or(8);
    spec.layout.micro_batch_size = static_cast<int>(std::clamp<std::int64_t>(size, 0, 1 << 20));
  }
  const std::int64_t once =
      std::int64_t{spec.layout.micro_batch_size} * spec.layout.data_parallel_size;
  const std::int64_t all = in.integer("training.global_batch_size").value_or(-1);
  // A pipeline cuts the local batch into micro-batches.
  const std::int64_t micro =
      in.integer("parallelism.pipeline_parallel_microbatch_size").value_or(1);
  const std::int64_t batch = all > 0 ? all : once;
  if (spec.layout.pipeline_parallel_size > 1) {
    if (micro < 1 || spec.layout.micro_batch_size % micro != 0)
      return in.error("parallelism.pipeline_parallel_microbatch_size",
                      fmt::format("{} does not divide training.local_batch_size {}", micro,
                                  spec.layout.micro_batch_size));
    spec.layout.micro_batch_size = static_cast<int>(micro);
  }
  if (batch < 1 || batch > (1 << 24) || batch % std::max<std::int64_t>(1, once) != 0) {
    return in.error("training.global_batch_size",
                    fmt::format("{} is not a multiple of training.local_batch_size x replicas = {}",
                                batch, once));
  }
  spec.training.global_batch_size = static_cast<int>(batch);
}

}  // namespace

void import_torchtitan(const std::vector<ConfigFile>& files,
                       const ImportOptions& options,
                       ImportedConfig& out) {
  SettingList settings = read_toml_settings(files.front(), out.findings);
  if (!out.ok()) return;
  Importer in(kMapping, std::move(settings), out);
  read_model(in);
  in.read_rows();
  read_torchtitan_chunks(in);
  in.spec().layout.sequence_parallel = in.spec().layout.tensor_parallel_size > 1;
  ModelConfig& m = in.spec().model;
  if (in.has("model.flavor"))
    m.max_position_embeddings = std::max(m.max_position_embeddings, in.spec().training.seq_length);
  read_schedule(in);
  read_replicas(in, options.num_gpus);
  read_torchtitan_software(in);
  if (in.ok()) read_batch(in);
  in.report_unused();
  if (in.ok()) in.validate_result();
}

std::string export_torchtitan(const RunSpec& spec) {
  const TrainingConfig& t = spec.training;
  const ParallelLayout& layout = spec.layout;
  SettingList out;
  if (const TitanFlavor* flavor = find_flavor(spec.model)) {
    out.push_back(text_setting("model.name", std::string(flavor->family)));
    out.push_back(text_setting("model.flavor", std::string(flavor->flavor)));
  }
  for (Setting& setting : written_rows(kMapping, spec))
    out.push_back(std::move(setting));
  if (layout.pipeline_parallel_size > 1) {
    // The local batch is what a replica has in a step.
    const std::int64_t local = t.global_batch_size / layout.data_parallel_size;
    for (Setting& setting : out) {
      if (setting.key == "training.local_batch_size") setting.text = fmt::format("{}", local);
    }
    out.push_back(
        whole_setting("parallelism.pipeline_parallel_microbatch_size", layout.micro_batch_size));
    write_torchtitan_chunks(spec, out);
  }
  if (t.learning_rate > 0)
    out.push_back(
        number_setting("lr_scheduler.min_lr_factor", t.min_learning_rate / t.learning_rate));
  const bool wsd = t.lr_schedule == LrScheduleKind::wsd;
  const WsdDecay shape = !wsd && t.lr_schedule == LrScheduleKind::cosine ? WsdDecay::cosine
                         : wsd                                           ? t.wsd_decay
                                                                         : WsdDecay::linear;
  constexpr std::string_view kShapes[] = {"sqrt", "linear", "cosine"};
  out.push_back(text_setting("lr_scheduler.decay_type",
                             std::string(kShapes[static_cast<std::size_t>(shape)])));
  if (wsd)
    out.push_back(number_setting("lr_scheduler.decay_ratio", static_cast<double>(t.decay_steps) /
                                                                 static_cast<double>(t.num_steps)));
  out.push_back(whole_setting("training.global_batch_size", t.global_batch_size));
  const bool shares = layout.zero_stage > 0;
  // Context ranks of a copy always share it.
  const int copies = shares ? std::gcd(layout.zero_replicas, layout.data_parallel_size)
                            : layout.data_parallel_size;
  out.push_back(whole_setting("parallelism.data_parallel_replicate_degree", copies));
  out.push_back(
      whole_setting("parallelism.data_parallel_shard_degree", layout.data_parallel_size / copies));
  if (shares)
    out.push_back(text_setting("parallelism.fsdp_reshard_after_forward",
                               layout.zero_stage == 3 ? "always" : "never"));
  write_torchtitan_software(spec, out);
  return write_toml_settings(out);
}

}  // namespace tera::spec
