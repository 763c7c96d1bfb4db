// Megatron-LM: what products, gradients and states are kept in, and where, both ways. Source:
// megatron/training/arguments.py, megatron/core/transformer/transformer_config.py and
// megatron/core/optimizer/optimizer_config.py of core_v0.13 and 0.19.
#include <algorithm>

#include <fmt/format.h>

#include "core/spec/interchange/megatron_table.h"

namespace tera::spec {
namespace {

constexpr Word kFormats8[] = {{"e4m3", "e4m3"}, {"hybrid", "hybrid"}};
constexpr Word kFormats4[] = {{"e2m1", "e2m1"}};
// First the word that is written.
constexpr Word kRecipes8[] = {{"tensorwise", "fp8_tensor"},
                              {"delayed", "fp8_tensor"},
                              {"blockwise", "fp8_block"},
                              {"mxfp8", "mxfp8"}};
constexpr Word kRecipes4[] = {{"nvfp4", "nvfp4"}};
constexpr Word kWidths[] = {{"fp32", "fp32"}, {"bf16", "bf16"}, {"fp16", "bf16"}, {"fp8", "int8"}};
constexpr const char* kAware = "--use-precision-aware-optimizer";

void read_products(Importer& in) {
  TrainingConfig& training = in.spec().training;
  const bool fp8 = in.word("--fp8-format", kFormats8).has_value();
  const bool fp4 = in.word("--fp4-format", kFormats4).has_value();
  const auto recipe8 = in.word("--fp8-recipe", kRecipes8);
  const auto recipe4 = in.word("--fp4-recipe", kRecipes4);
  if (fp8 && fp4) {
    return in.error("--fp4-format", "contradicts --fp8-format: only one of them can hold",
                    "remove one of them");
  }
  if (recipe8 && !fp8)
    in.warning("--fp8-recipe", "has no effect without --fp8-format", "add --fp8-format hybrid");
  if (recipe4 && !fp4)
    in.warning("--fp4-recipe", "has no effect without --fp4-format", "add --fp4-format e2m1");
  if (!fp8 && !fp4) return;
  if (training.precision != Precision::bf16) {
    return in.error(fp8 ? "--fp8-format" : "--fp4-format",
                    fmt::format("needs --bf16 for what is not a product, got {}",
                                enum_name(training.precision)),
                    "add --bf16");
  }
  training.precision = fp4 ? Precision::nvfp4
                           : enum_from_name<Precision>(recipe8.value_or("fp8_tensor"))
                                 .value_or(Precision::fp8_tensor);
  const char* const gather = fp8 ? "--fp8-param-gather" : "--fp4-param-gather";
  if (!in.flag(gather))
    in.leave_out(gather, "without it: weights are kept narrow alone here, with no copy in 16 bits");
}

// What gradients are summed in, 16 bits or 32.
void read_sums(Importer& in) {
  constexpr const char* kWide = "--accumulate-allreduce-grads-in-fp32";
  constexpr const char* kMain = "--main-grads-dtype";
  TrainingConfig& training = in.spec().training;
  const bool wide = in.flag(kWide);
  const bool narrow = in.flag("--grad-reduce-in-bf16");
  const bool narrow_main = in.word(kMain, kWidths).value_or("fp32") != "fp32";
  if (wide && narrow)
    in.warning("--grad-reduce-in-bf16", fmt::format("contradicts {} and is what holds", kWide),
               "remove one of them");
  if (wide && narrow_main)
    in.error(kMain, fmt::format("contradicts {}, which is fp32", kWide), "remove one of them");
  const bool half = training.precision == Precision::fp16   ? !wide
                    : training.precision == Precision::fp32 ? false
                                                            : narrow || narrow_main;
  training.gradient_precision = half ? GradientPrecision::bf16 : GradientPrecision::fp32;
}

// The moments, by width: fp16 is planned as bf16, fp8 as int8.
void read_moments(Importer& in) {
  constexpr const char* kFirst = "--exp-avg-dtype";
  constexpr const char* kSecond = "--exp-avg-sq-dtype";
  TrainingConfig& training = in.spec().training;
  const bool aware = in.flag(kAware);
  if (aware && in.spec().layout.zero_stage == 0)
    in.error(kAware, "needs --use-distributed-optimizer", "add --use-distributed-optimizer");
  if (aware && training.optimizer != OptimizerKind::adamw)
    in.error(kAware, "needs --optimizer adam", "remove it");
  for (const char* key : {"--main-grads-dtype", "--main-params-dtype", kFirst, kSecond}) {
    const std::string dtype = in.text(key).value_or("fp32");
    if (!aware && dtype != "fp32")
      in.error(key, fmt::format("{} needs {}", dtype, kAware), fmt::format("add {}", kAware));
  }
  if (in.text("--main-params-dtype").value_or("fp32") != "fp32")
    in.leave_out("--main-params-dtype", "master weights have 32 bits here");
  const auto moment_of = [&in](const char* key) {
    return enum_from_name<MomentPrecision>(in.word(key, kWidths).value_or("fp32"))
        .value_or(MomentPrecision::fp32);
  };
  const MomentPrecision first = moment_of(kFirst);
  const MomentPrecision second = moment_of(kSecond);
  training.moment_precision = std::min(first, second);  // the wider
  for (const char* key : {kFirst, kSecond}) {
    const std::string dtype = in.text(key).value_or("fp32");
    const std::string_view planned = enum_name(training.moment_precision);
    if (dtype != planned)
      in.leave_out(key, fmt::format("{}: both moments are planned as {}", dtype, planned));
  }
}

void read_offload(Importer& in) {
  constexpr const char* kOptimizer = "--optimizer-cpu-offload";
  constexpr const char* kShare = "--optimizer-offload-fraction";
  constexpr const char* kLayers = "--cpu-offloading-num-layers";
  const RunSpec& spec = in.spec();
  Offload& offload = in.spec().layout.offload;
  offload = {};
  const bool states = in.flag(kOptimizer);
  const double share = in.number(kShare).value_or(1);
  if (share < 0 || share > 1) in.error(kShare, fmt::format("got {}, expected 0 to 1", share));
  if (states && !in.flag(kAware))
    in.error(kOptimizer, fmt::format("needs {}", kAware), fmt::format("add {}", kAware));
  if (states && in.flag("--fp8-param-gather") &&
      in.text("--fp8-recipe").value_or("delayed") != "delayed") {
    in.error(kOptimizer, "with --fp8-param-gather needs --fp8-recipe delayed",
             "remove --fp8-param-gather");
  }
  if (!states && in.has(kShare))
    in.warning(kShare, fmt::format("has no effect without {}", kOptimizer), "remove it");
  if (states && share > 0) {
    offload.optimizer = OffloadTier::host;
    if (share < 1)
      in.leave_out(kShare, "all of the optimizer's state leaves the device here, or none");
  }
  const auto layers = in.integer(kLayers);
  if (!layers || *layers == 0) return;
  if (*layers < 0 || *layers >= spec.model.num_layers)
    return in.error(kLayers, fmt::format("got {}, expected less than --num-layers {}", *layers,
                                         spec.model.num_layers));
  if (spec.layout.pipeline_parallel_size > 1)
    return in.error(kLayers,
                    fmt::format("is for one stage, but --pipeline-model-parallel-size is {}",
                                spec.layout.pipeline_parallel_size),
                    "remove it");
  if (in.has("--recompute-granularity") || in.flag("--recompute-activations"))
    return in.error(kLayers, "contradicts recomputation: only one of them can hold",
                    "remove one of them");
  offload.activations = OffloadTier::host;
  if (*layers != spec.model.num_layers - 1)
    in.leave_out(kLayers, "activations of all layers wait off the device here, or of none");
}

}  // namespace

void read_megatron_states(Importer& in) {
  read_products(in);
  read_sums(in);
  read_moments(in);
  read_offload(in);
}

void write_megatron_states(const RunSpec& spec, SettingList& out) {
  const TrainingConfig& training = spec.training;
  const bool shards = spec.layout.zero_stage > 0;
  const bool aware = shards && training.optimizer == OptimizerKind::adamw;
  const bool states = spec.layout.offload.optimizer == OffloadTier::host && aware;
  const bool narrow = has_narrow_products(training.precision);
  if (narrow || training.precision == Precision::bf16_stochastic)
    out.push_back(flag_setting("--bf16"));
  if (training.precision == Precision::nvfp4) {
    out.push_back(text_setting("--fp4-format", "e2m1"));
    out.push_back(text_setting("--fp4-recipe", "nvfp4"));
    if (shards) out.push_back(flag_setting("--fp4-param-gather"));
  } else if (narrow) {
    const std::string_view name = enum_name(training.precision);
    const auto* const recipe = std::find_if(std::begin(kRecipes8), std::end(kRecipes8),
                                            [&](const Word& word) { return word.ours == name; });
    // Scales per tensor spare their exponents for gradients; finer ones do not need to.
    const bool tensor = training.precision == Precision::fp8_tensor;
    out.push_back(text_setting("--fp8-format", tensor ? "hybrid" : "e4m3"));
    out.push_back(text_setting("--fp8-recipe", std::string(recipe->theirs)));
    if (shards && !states) out.push_back(flag_setting("--fp8-param-gather"));
  }
  const bool half = training.gradient_precision == GradientPrecision::bf16;
  if (training.precision == Precision::fp16) {
    if (!half) out.push_back(flag_setting("--accumulate-allreduce-grads-in-fp32"));
  } else if (half && training.precision != Precision::fp32) {
    out.push_back(flag_setting("--grad-reduce-in-bf16"));
  }
  const bool short_moments = training.moment_precision == MomentPrecision::bf16 && aware;
  if (short_moments || states) out.push_back(flag_setting(kAware));
  if (short_moments) {
    out.push_back(text_setting("--exp-avg-dtype", "bf16"));
    out.push_back(text_setting("--exp-avg-sq-dtype", "bf16"));
  }
  if (states) {
    out.push_back(flag_setting("--optimizer-cpu-offload"));
    out.push_back(number_setting("--optimizer-offload-fraction", 1));
  }
  const ParallelLayout& layout = spec.layout;
  if (layout.offload.activations == OffloadTier::host && layout.pipeline_parallel_size == 1 &&
      layout.recompute == RecomputeKind::none && spec.model.num_layers > 1) {
    out.push_back(whole_setting("--cpu-offloading-num-layers", spec.model.num_layers - 1));
  }
}

}  // namespace tera::spec
