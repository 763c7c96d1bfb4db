// Names and defaults: deepspeed/runtime/zero/config.py, zero/offload_config.py and engine.py
// (get_data_types) of 0.16.
#include "core/spec/interchange/zero_words.h"

#include <fmt/format.h>

namespace tera::spec {
namespace {

constexpr const char* kOptimizer = "zero_optimization.offload_optimizer.device";
constexpr const char* kWeights = "zero_optimization.offload_param.device";
constexpr const char* kOldOptimizer = "zero_optimization.cpu_offload";
constexpr const char* kOldWeights = "zero_optimization.cpu_offload_param";
constexpr const char* kOverlap = "zero_optimization.overlap_comm";
constexpr const char* kSums = "data_types.grad_accum_dtype";
constexpr const char* kStage = "zero_optimization.stage";
constexpr const char* kCopyRanks = "zero_optimization.mics_shard_size";

constexpr Word kTiers[] = {{"none", "none"}, {"cpu", "host"}, {"nvme", "nvme"}};
constexpr Word kDtypes[] = {{"fp32", "fp32"}, {"bf16", "bf16"}, {"fp16", "bf16"}};  // by width

std::string_view theirs(OffloadTier tier) {
  return kTiers[static_cast<std::size_t>(tier)].theirs;
}

// Of "zero_optimization.offload_...device", or the flag that it once was.
OffloadTier read_tier(Importer& in, const char* key, const char* old_key, int least_stage) {
  const bool old = in.flag(old_key);
  OffloadTier tier =
      enum_from_name<OffloadTier>(in.word(key, kTiers).value_or(old ? "host" : "none"))
          .value_or(OffloadTier::none);
  if (old && in.has(key) && tier != OffloadTier::host)
    in.error(old_key, fmt::format("contradicts {}, which is {}", key, theirs(tier)),
             "remove the older one");
  const int stage = in.spec().layout.zero_stage;
  const int needed = tier == OffloadTier::nvme ? 3 : least_stage;
  if (tier == OffloadTier::none || stage >= needed) return tier;
  in.error(in.has(key) ? key : old_key,
           fmt::format("{} needs {} {}, got {}", theirs(tier), kStage,
                       needed == 3 ? "3" : "1, 2 or 3", stage),
           fmt::format("set {} to {}, or offload to {}", kStage, needed,
                       needed > least_stage ? "cpu" : "none"));
  return OffloadTier::none;
}

// Gradients follow the state they update. Source: Rajbhandari et al. 2021, section 5.1; DeepSpeed,
// stage_1_and_2.py and stage3.py.
void read_offload(Importer& in, const char* activations) {
  constexpr const char* kRatio = "zero_optimization.offload_optimizer.ratio";
  Offload& offload = in.spec().layout.offload;
  offload = {};
  offload.optimizer = read_tier(in, kOptimizer, kOldOptimizer, 1);
  offload.gradients = offload.optimizer;
  offload.weights = read_tier(in, kWeights, kOldWeights, 3);
  if (in.flag(activations)) offload.activations = OffloadTier::host;
  const auto ratio = in.number(kRatio);
  if (!ratio) return;
  if (*ratio < 0 || *ratio > 1) {
    in.error(kRatio, fmt::format("got {}, expected 0 to 1", *ratio));
  } else if (*ratio < 1 && offload.optimizer != OffloadTier::none) {
    in.leave_out(kRatio, "all of the optimizer's state leaves the device here, or none");
  }
}

// What gradients are summed in, 16 bits or 32.
GradientPrecision usual_sums(const RunSpec& spec) {
  const Precision precision = spec.training.precision;
  const bool wide =
      precision == Precision::fp32 || (precision != Precision::fp16 && spec.layout.zero_stage == 0);
  return wide ? GradientPrecision::fp32 : GradientPrecision::bf16;
}

std::int64_t num_replicas(const ParallelLayout& layout) {
  return std::int64_t{layout.data_parallel_size} * layout.context_parallel_size;
}

}  // namespace

void read_zero(Importer& in, const char* activations) {
  RunSpec& spec = in.spec();
  spec.software.framework = Framework::deepspeed;
  spec.software.gradient_overlap =
      in.has(kOverlap) ? in.flag(kOverlap) : spec.layout.zero_stage == 3;
  spec.training.gradient_precision = usual_sums(spec);
  if (const auto sums = in.word(kSums, kDtypes))
    spec.training.gradient_precision =
        enum_from_name<GradientPrecision>(*sums).value_or(GradientPrecision::fp32);
  read_offload(in, activations);
}

void read_copies(Importer& in) {
  ParallelLayout& layout = in.spec().layout;
  layout.zero_replicas = 1;
  const std::int64_t ranks = in.integer(kCopyRanks).value_or(-1);
  if (ranks == -1) return;  // all of them
  const std::int64_t replicas = num_replicas(layout);
  if (ranks < 1 || replicas % ranks != 0) {
    return in.error(kCopyRanks,
                    fmt::format("{} ranks of a copy do not divide {} replicas", ranks, replicas),
                    fmt::format("use {}, or leave it away", replicas));
  }
  if (layout.zero_stage < 3)
    return in.leave_out(kCopyRanks, fmt::format("DeepSpeed copies with {} 3 alone", kStage));
  layout.zero_replicas = static_cast<int>(replicas / ranks);
}

void write_zero(const RunSpec& spec, const char* activations, SettingList& out) {
  const Offload& offload = spec.layout.offload;
  const auto write_tier = [&out](std::string where, OffloadTier tier) {
    if (tier == OffloadTier::none) return;
    const std::string part = "zero_optimization." + where;
    out.push_back(text_setting(part + ".device", std::string(theirs(tier))));
    if (tier == OffloadTier::nvme) out.push_back(text_setting(part + ".nvme_path", "/local_nvme"));
    out.push_back(boolean_setting(part + ".pin_memory", true));
  };
  if (spec.layout.zero_stage > 0) write_tier("offload_optimizer", offload.optimizer);
  if (spec.layout.zero_stage == 3) write_tier("offload_param", offload.weights);
  if (offload.activations == OffloadTier::host) out.push_back(boolean_setting(activations, true));
  if (spec.layout.zero_stage == 3 && spec.layout.zero_replicas > 1)
    out.push_back(whole_setting(kCopyRanks, num_replicas(spec.layout) / spec.layout.zero_replicas));
  out.push_back(boolean_setting(kOverlap, spec.software.gradient_overlap));
  const GradientPrecision sums = spec.training.gradient_precision;
  if (sums == usual_sums(spec)) return;
  const bool fp16 = spec.training.precision == Precision::fp16;
  out.push_back(text_setting(kSums, sums == GradientPrecision::fp32 ? "fp32"
                                    : fp16                          ? "fp16"
                                                                    : "bf16"));
}

}  // namespace tera::spec
