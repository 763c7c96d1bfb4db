#include "core/plan/published_software.h"

#include <algorithm>

#include "core/plan/constant.h"
#include "core/plan/published_recipes.h"

namespace tera::plan {
namespace {

using spec::Framework;
using spec::SoftwareConfig;

struct GroupSoftware {
  std::string_view group;
  SoftwareConfig software;
  MemoryReading reading = MemoryReading::reserved;
  std::string_view recompute = {};  // where rows do not say: the recipe's
};

// Megatron-LM as it was up to 2023: scores stored, dropout of 0.1 unless told otherwise, the loss
// in f32, sums between the passes (Korthikanti et al. 2022, section 4; arguments.py,
// --attention-dropout, --use-flash-attn, --overlap-grad-reduce).
constexpr SoftwareConfig kMegatronOf2023 = {.framework = Framework::megatron_lm,
                                            .fused_attention = false,
                                            .fused_cross_entropy = false,
                                            .dropout = true,
                                            .compiled = false,
                                            .gradient_overlap = false};
constexpr SoftwareConfig kMegatronDeepSpeed = {.framework = Framework::deepspeed,
                                               .fused_attention = false,
                                               .fused_cross_entropy = false,
                                               .dropout = true,
                                               .compiled = false,
                                               .gradient_overlap = false};
// With Transformer Engine: fused attention and layers, no dropout in pretraining recipes.
constexpr SoftwareConfig kMegatron = {.framework = Framework::megatron_lm,
                                      .fused_cross_entropy = false};
// Recipes whose authors say that tensor-parallel messages overlap (tp-comm-overlap).
constexpr SoftwareConfig kMegatronOverlapped = {
    .framework = Framework::megatron_lm, .fused_cross_entropy = false, .tensor_overlap = true};
constexpr SoftwareConfig kMegatronGraphs = {.framework = Framework::megatron_lm,
                                            .fused_cross_entropy = false,
                                            .cuda_graphs = spec::GraphScope::full,
                                            .tensor_overlap = true};
// SimuMax, docs/b200: Triton's fused loss; everything that overlaps is off.
constexpr SoftwareConfig kMegatronApart = {.framework = Framework::megatron_lm,
                                           .gradient_overlap = false};
// Jiang et al. 2024, section 3.3: FlashAttention-2, fused LayerNorm and GeLU.
constexpr SoftwareConfig kMegaScale = {.framework = Framework::megatron_lm,
                                       .fused_cross_entropy = false};
constexpr Constant kFlash2{"FlashAttention-2 over later kernels", 0.6, "", false,
                           "335 of 550 TFLOP/s on Hopper: Shah et al. 2024, FlashAttention-3, "
                           "section 4.1"};
constexpr Constant kFlashTriton{"first FlashAttention in Triton over the second", 0.6, "", false,
                                "about 100 of 175 TFLOP/s on A100: Dao 2023, figure 6"};
// torch.compile; attention of PyTorch is FlashAttention-2.
constexpr SoftwareConfig kFsdp = {.framework = Framework::torchtitan,
                                  .fused_cross_entropy = false,
                                  .attention_share = kFlash2.value};
// ALiBi asked for the first FlashAttention written in Triton; layers run operation by operation.
constexpr SoftwareConfig kLlmFoundry = {.framework = Framework::torchtitan,
                                        .fused_cross_entropy = false,
                                        .compiled = false,
                                        .attention_share = kFlashTriton.value};
// nanotron keeps states as Megatron-LM does, has fused norms, rotary embeddings and updates too
// (models/llama.py, torch_adam_is_fused) and sums gradients after the last pass.
constexpr SoftwareConfig kNanotron = {.framework = Framework::megatron_lm,
                                      .fused_cross_entropy = false,
                                      .compiled = false,
                                      .gradient_overlap = false,
                                      .attention_share = kFlash2.value};

constexpr GroupSoftware kGroups[] = {
    {"SC21", kMegatronOf2023},
    {"ZB", kMegatronOf2023, MemoryReading::allocated},  // Megatron-LM logs max_memory_allocated
    {"VTRAIN", kMegatronDeepSpeed},
    {"BLOOM", kMegatronDeepSpeed, MemoryReading::device},  // its chronicle: "nvidia-smi"
    {"MEGASCALE", kMegaScale},
    {"MLM-H100", kMegatronOverlapped},
    {"DGXC", kMegatronOverlapped},
    {"NEMO", kMegatronOverlapped},
    {"MLPERF", kMegatronGraphs},
    {"MBRIDGE", kMegatronGraphs},
    {"SIMUMAX", kMegatronApart, MemoryReading::allocated},  // max_memory_allocated, of all ranks
    // torchtitan logs max_reserved; train_configs/llama3_8b.toml, activation_checkpoint.
    {"TITAN", kFsdp, MemoryReading::reserved, "selective (op)"},
    {"FMS", kFsdp},
    {"MPT", kLlmFoundry},
    {"NANO", kNanotron, MemoryReading::reserved, "none"},  // ParallelismArgs.recompute_layer
};

const GroupSoftware* find_group(std::string_view group) {
  const auto* const found = std::find_if(std::begin(kGroups), std::end(kGroups),
                                         [group](const auto& g) { return g.group == group; });
  return found == std::end(kGroups) ? nullptr : found;
}

// Sums of 16-bit gradients: fp16 training of Megatron-LM before
// --accumulate-allreduce-grads-in-fp32 was usual, FSDP told so, and NVIDIA's recipes for speed:
// grad_reduce_in_fp32 is false in Megatron-Bridge (scripts/performance of v0.1.0rc4 to v0.5.0,
// perf_recipes/_common.py of v0.6.0) and in NeMo 2 (recipes with performance_mode, which DGXC's of
// 2025 run), grad_sync_dtype is bf16 in those for NeMo 1 (NeMo-Framework-Launcher 24.07,
// examples/training; mlcommons training_results v3.0 and v4.0, gpt3; DGXC v25.02.02, but for
// nemotron4-15b-synth.yaml).
bool sums_16_bits(const PublishedRow& row) {
  static constexpr std::string_view kGroupsThatDo[] = {"SC21",   "VTRAIN", "ZB",  "MBRIDGE",
                                                       "MLPERF", "NEMO",   "DGXC"};
  if (row.source.find("nemotron4-15b-synth.yaml") != std::string::npos) return false;
  return row.precision == "bf16 (FSDP PURE)" ||
         std::find(std::begin(kGroupsThatDo), std::end(kGroupsThatDo), row.group) !=
             std::end(kGroupsThatDo);
}

}  // namespace

void set_published_software(const PublishedRow& row, spec::RunSpec& spec) {
  const GroupSoftware* const found = find_group(row.group);
  spec.software = found == nullptr ? kMegatron : found->software;
  set_published_recipe(row, spec.software);
  if (row.notes.starts_with("eager")) spec.software.compiled = false;
  // torchtitan compiles the loss with the layers since 2025 (components/loss.py).
  if (row.group == "TITAN" && row.source.find("_2025") != std::string::npos)
    spec.software.fused_cross_entropy = true;
  if (row.notes.find("force-balanced routing") != std::string::npos)
    spec.layout.expert_load_percentile = 0;
  if (row.notes.find("asyncTP") != std::string::npos) spec.software.tensor_overlap = true;
  if (row.notes.find("tp-comm-overlap off") != std::string::npos)
    spec.software.tensor_overlap = false;
  if (sums_16_bits(row)) spec.training.gradient_precision = spec::GradientPrecision::bf16;
  if (row.group != "BLOOM") return;
  // Its chronicle, "Rebalancing layers": from 28 February on with the BF16 optimizer, whose
  // gradients are summed in f32; fp16 before.
  const bool bf16 = row.notes.starts_with("02-28");
  spec.training.precision = bf16 ? spec::Precision::bf16 : spec::Precision::fp16;
}

// BigScience 2022, chronicles-prequel.md, "GBS Variations", of 25 February: "A100s PCI-Express/NUMA
// was improved today so all TFLOPs have changed for the better (1-5%) - thus do not compare today's
// numbers to yesterday's." Notes begin with the day of the run.
std::string_view machine_state(const PublishedRow& row) {
  constexpr std::string_view kImproved = "02-25";
  if (row.group != "BLOOM") return {};
  return std::string_view(row.notes).substr(0, kImproved.size()) < kImproved ? "before 02-25"
                                                                             : "from 02-25 on";
}

MemoryReading memory_reading(std::string_view group) {
  const GroupSoftware* const found = find_group(group);
  return found == nullptr ? MemoryReading::reserved : found->reading;
}

std::string_view usual_recompute(std::string_view group) {
  const GroupSoftware* const found = find_group(group);
  return found == nullptr ? std::string_view() : found->recompute;
}

}  // namespace tera::plan
