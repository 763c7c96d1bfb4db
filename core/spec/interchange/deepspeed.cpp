// DeepSpeed's JSON: batch, optimizer, schedule, precision and ZeRO. The model is the program's.
// Names and defaults: deepspeed/runtime/config.py, constants.py and lr_schedules.py of 0.16.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/spec/interchange/adam_words.h"
#include "core/spec/interchange/batch_sizes.h"
#include "core/spec/interchange/zero_words.h"

namespace tera::spec {
namespace {

bool has_fp16(const RunSpec& spec) {
  return spec.training.precision == Precision::fp16;
}
bool has_sgd(const RunSpec& spec) {
  return spec.training.optimizer == OptimizerKind::sgd;
}
bool has_adam(const RunSpec& spec) {
  return spec.training.optimizer == OptimizerKind::adamw;
}
bool is_split(const RunSpec& spec) {
  return spec.layout.tensor_parallel_size > 1;
}

constexpr const char* kOnHost = "activation_checkpointing.cpu_checkpointing";

constexpr Word kStages[] = {{"0", "0"}, {"1", "1"}, {"2", "2"}, {"3", "3"}};
constexpr Word kOptimizers[] = {
    {"AdamW", "adamw"}, {"Adam", "adamw"}, {"Lion", "lion"}, {"Muon", "muon"}, {"SGD", "sgd"}};
constexpr Word kSchedules[] = {
    {"WarmupLR", "constant"}, {"WarmupDecayLR", "linear"}, {"WarmupCosineLR", "cosine"}};

constexpr Row kRows[] = {
    {.key = "tensor_parallel.autotp_size",
     .field = "layout.tensor_parallel_size",
     .when = is_split},
    {.key = "zero_optimization.stage",
     .field = "layout.zero_stage",
     .otherwise = "0",
     .words = kStages},
    {.key = "optimizer.type", .field = "training.optimizer", .words = kOptimizers},
    {.key = "optimizer.params.lr", .field = "training.learning_rate"},
    {.key = "optimizer.params.eps", .field = "training.adam_eps", .when = has_adam},
    {.key = "optimizer.params.weight_decay", .field = "training.weight_decay"},
    {.key = "optimizer.params.momentum", .field = "training.sgd_momentum", .when = has_sgd},
    {.key = "scheduler.type", .field = "training.lr_schedule", .words = kSchedules},
    {.key = "scheduler.params.warmup_num_steps", .field = "training.warmup_steps"},
    {.key = "scheduler.params.total_num_steps", .field = "training.num_steps"},
    {.key = "gradient_clipping", .field = "training.grad_clip", .otherwise = "0"},
    {.key = "fp16.loss_scale_window",
     .field = "training.loss_scale_growth_interval",
     .when = has_fp16},
};

constexpr std::string_view kBuffers[] = {
    "zero_optimization.*",         "communication_data_type", "prescale_gradients",
    "gradient_predivide_factor",   "sparse_gradients",        "zero_allow_untested_optimizer",
    "zero_force_ds_cpu_optimizer", "communication_*",         "aio.*"};
constexpr std::string_view kLogging[] = {
    "steps_per_print",  "wall_clock_breakdown", "tensorboard.*", "wandb.*",         "csv_monitor.*",
    "flops_profiler.*", "comms_logger.*",       "dump_state",    "memory_breakdown"};
constexpr std::string_view kProgram[] = {
    "activation_checkpointing.*", "pipeline.*",       "checkpoint.*", "amp.*",
    "dataloader_drop_last",       "data_efficiency.*"};
constexpr std::string_view kScaling[] = {"fp16.*", "bf16.*", "optimizer.params.*",
                                         "scheduler.params.*", "optimizer.legacy_fusion"};

constexpr IdleKeys kIdle[] = {
    {"buffers of communication are planned by rules of their own", kBuffers},
    {"logging does not change the run", kLogging},
    {"the program decides it: set layout.recompute and the pipeline here", kProgram},
    {"there is no such setting here", kScaling},
};

constexpr Mapping kMapping{.title = "DeepSpeed", .rows = kRows, .idle = kIdle};

// Settings that the Trainer of transformers fills in.
SettingList without_auto(SettingList settings, ImportedConfig& out) {
  std::erase_if(settings, [&out](const Setting& setting) {
    const bool open = setting.text == "auto";
    if (open) out.left_out.push_back({setting.key, "auto", "the program fills it in"});
    return open;
  });
  return settings;
}

void read_precision(Importer& in) {
  TrainingConfig& t = in.spec().training;
  const bool bf16 = in.flag("bf16.enabled");
  const bool fp16 = in.flag("fp16.enabled");
  if (bf16 && fp16) {
    in.error("bf16.enabled", "contradicts fp16.enabled: only one of them can hold",
             "set one of them to false");
  }
  t.precision = fp16 ? Precision::fp16 : bf16 ? Precision::bf16 : Precision::fp32;
  if (const auto power = in.number("fp16.initial_scale_power"); power && fp16)
    t.initial_loss_scale = std::clamp(std::exp2(*power), 1.0, 1e9);
}

void read_schedule(Importer& in) {
  TrainingConfig& t = in.spec().training;
  if (const auto peak = in.number("scheduler.params.warmup_max_lr")) {
    if (in.has("optimizer.params.lr") && *peak != t.learning_rate) {
      in.error("scheduler.params.warmup_max_lr",
               fmt::format("{} contradicts optimizer.params.lr {}", *peak, t.learning_rate),
               "give both the same value");
    }
    t.learning_rate = *peak;
  }
  if (const auto ratio = in.number("scheduler.params.cos_min_ratio"))
    t.min_learning_rate = without_rounding(*ratio * t.learning_rate);
  if (t.lr_schedule != LrScheduleKind::cosine && in.has("scheduler.type")) t.min_learning_rate = 0;
  t.min_learning_rate = std::min(t.min_learning_rate, t.learning_rate);
}

}  // namespace

void import_deepspeed(const std::vector<ConfigFile>& files,
                      const ImportOptions& options,
                      ImportedConfig& out) {
  SettingList settings = read_json_settings(files.front(), out.findings);
  if (!out.ok()) return;
  Importer in(kMapping, without_auto(std::move(settings), out), out);
  in.read_rows();
  read_adam_betas(in, "optimizer.params.betas");
  read_precision(in);
  read_schedule(in);
  read_zero(in, kOnHost);
  read_batch_sizes(in, options.num_gpus);
  if (in.ok()) read_copies(in);
  in.report_unused();
  if (in.ok()) in.validate_result();
}

std::string export_deepspeed(const RunSpec& spec) {
  SettingList out;
  write_batch_sizes(spec, out);
  for (Setting& setting : written_rows(kMapping, spec))
    out.push_back(std::move(setting));
  const TrainingConfig& t = spec.training;
  write_adam_betas(spec, "optimizer.params.betas", out);
  if (t.lr_schedule == LrScheduleKind::cosine && t.learning_rate > 0)
    out.push_back(
        number_setting("scheduler.params.cos_min_ratio", t.min_learning_rate / t.learning_rate));
  if (t.precision == Precision::fp16) {
    out.push_back(boolean_setting("fp16.enabled", true));
    out.push_back(
        whole_setting("fp16.initial_scale_power", std::lround(std::log2(t.initial_loss_scale))));
  } else if (t.precision != Precision::fp32) {
    out.push_back(boolean_setting("bf16.enabled", true));
  }
  write_zero(spec, kOnHost, out);
  return write_json_settings(out);
}

}  // namespace tera::spec
