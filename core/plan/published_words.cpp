#include "core/plan/published_words.h"

#include <algorithm>
#include <utility>

namespace tera::plan {
namespace {

using spec::Precision;
using spec::RecomputeKind;

template <class Meaning>
using Words = std::vector<std::pair<std::string_view, Meaning>>;

const Words<PrecisionWord>& precisions() {
  static const Words<PrecisionWord> words = {
      {"bf16", {Precision::bf16, {}}},
      {"amp_bf16", {Precision::bf16, {}}},
      // FSDP keeps and reduces gradients in bf16 then; the estimate has f32.
      {"bf16 (FSDP PURE)", {Precision::bf16, {}}},
      // Both were tried; products are equally fast.
      {"bf16/fp16 (prequel trials)", {Precision::bf16, {}}},
      {"bf16, fp32 grad accumulation", {Precision::bf16, {}}},
      {"fp16 mixed", {Precision::fp16, {}}},
      {"fp8", {Precision::fp8_tensor, {}}},
      {"fp8 (TE hybrid)", {Precision::fp8_tensor, {}}},
      {"fp8 (TE hybrid, fp8 params)", {Precision::fp8_tensor, {}}},
      {"fp8 (release table does not list precision per row)", {Precision::fp8_tensor, {}}},
      {"fp8-cs", {Precision::fp8_tensor, {}}},
      {"fp8 linear", {Precision::fp8_tensor, {}}},
      {"fp8 linear (fp8 all-gather)", {Precision::fp8_tensor, {}}},
      {"fp8 tensorwise", {Precision::fp8_tensor, {}}},
      {"fp8 rowwise", {Precision::fp8_tensor, {}}},
      {"fp8 blockwise", {Precision::fp8_block, {}}},
      {"amp_fp8", {Precision::fp8_tensor, {}}},
      {"mxfp8", {Precision::mxfp8, {}}},
      {"fp8-mx", {Precision::mxfp8, {}}},
      {"nvfp4", {Precision::nvfp4, {}}},
  };
  return words;
}

const Words<ShardingWord>& shardings() {
  static const Words<ShardingWord> words = {
      {"none", {0}},
      {"ZeRO-0", {0}},
      {"ZeRO-1", {1}},
      {"dist-optimizer (ZeRO-1)", {1}},
      {"dist-optimizer (ZeRO-1), overlapped", {1}},
      {"dist-optimizer (ZeRO-1), overlap grad+param", {1}},
      {"DDP + dist-optimizer", {1}},
      {"FSDP SHARD_GRAD_OP (ZeRO-2)", {2}},
      {"FSDP: shard optimizer+grad, no reshard after forward (ZeRO-2-like)", {2}},
      {"ZeRO-3", {3}},
      {"FSDP", {3}},
      {"FSDP FULL_SHARD (ZeRO-3)", {3}},
      {"FSDP2 (ZeRO-3)", {3}},
      {"FSDP 64", {3}},  // ranks that share; as many as replicas
      {"FSDP 8", {3}},
      {"HSDP", {.zero_stage = 3, .within_node = true}},
  };
  return words;
}

// Where single layers or operations are named, the truth lies between two kinds.
const Words<std::vector<RecomputeKind>>& recomputes() {
  using enum RecomputeKind;
  static const Words<std::vector<RecomputeKind>> words = {
      {"none", {none}},
      {"none (8K)", {none}},
      {"selective", {selective}},
      {"selective: layernorm, moe_act", {selective}},
      {"selective (op)", {selective, full}},
      // Of layers with experts the latent up-projection alone; mlp is that of the dense layers.
      {"selective: mlp", {none}},
      {"selective: up_proj, mlp", {selective}},
      {"selective: mla_up_proj, mlp", {selective}},
      {"selective (AC fraction)", {none, full}},
      {"full, 5 layers", {none, full}},
      {"full", {full}},
  };
  return words;
}

const Words<std::string_view>& schedules() {
  static const Words<std::string_view> words = {
      {"1F1B", "1f1b"},
      {"1f1b", "1f1b"},
      {"1F1B (DeepSpeed)", "1f1b"},
      {"1F1B interleaved", "interleaved"},
      {"1F1B interleaved + scatter/gather", "interleaved"},
      {"1F1B-I", "interleaved"},
      {"1f1b-interleaved", "interleaved"},
      {"interleaved (tunable N)", "interleaved"},
      {"ZB-1p", "zb-h1"},  // Qi et al. 2023, section 5: as much memory as 1F1B
      {"zbb", "zb-h1"},
      {"zero-bubble", "zb-h1"},
      {"ZB-2p", "zb-h2"},
      {"zbv", "zb-v"},
      {"zbv-formatted", "zb-v"},
      {"v-half", "v-half"},
      {"v-min", "v-min"},
      {"DualPipe", "dualpipe"},
  };
  return words;
}

const Words<int>& dense_layers() {
  static const Words<int> words = {
      {"1", 0}, {"first 1 dense", 1}, {"first 1 dense (note in summary)", 1}, {"first 3 dense", 3}};
  return words;
}

constexpr double kGigabit = 1e9 / 8;
struct DeviceLine {
  std::string_view group;  // empty: any other
  DeviceWord meaning;
};
const Words<DeviceLine>& devices() {
  // Gb/s of a node over its eight devices, from the source of the rows.
  static const DeviceWord a100 = {.cluster = "a100-ib", .has_8_bit_products = false};
  static const auto a100_with = [](double gigabits_per_node, bool known = true) {
    return DeviceWord{.cluster = "a100-ib",
                      .network_bytes_per_s = gigabits_per_node * kGigabit / 8,
                      .network_known = known,
                      .has_8_bit_products = false};
  };
  static const Words<DeviceLine> words = {
      {"A100-80GB-SXM (Selene, 8xHDR200)", {{}, a100}},
      {"Ampere (A100-class), 8x200G NIC", {{}, a100}},
      {"A100-80GB-SXM", {"VTRAIN", a100_with(800)}},  // vTrain: InfiniBand of 800 Gb/s per node
      {"A100-80GB-SXM", {"MPT", a100_with(1600)}},    // llm-foundry: 1600 Gb/s node to node
      {"A100-80GB-SXM", {{}, a100}},
      // Four Omni-Path links of 100 Gb/s, over which an all-reduce between two nodes measured 135:
      // Bekman, Machine Learning Engineering, network, Omni-Path; bigscience, experiments.
      {"A100-80GB-SXM (JeanZay, 8/node)",
       {{},
        {.cluster = "a100-ib",
         .network_bytes_per_s = 135 * kGigabit / 8,
         .network_measured = true,
         .has_8_bit_products = false}}},
      {"A100-80GB-SXM (RoCE)", {{}, a100_with(1600, false)}},
      {"A100-80GB-SXM (400Gb/s)", {{}, a100_with(400)}},
      {"A100-40GB-SXM", {{}, {.cluster = "a100-40gb-ib", .has_8_bit_products = false}}},
      {"H100-80GB-SXM", {{}, {.cluster = "h100-ib"}}},
      {"H100-SXM", {{}, {.cluster = "h100-ib"}}},
      {"H100-80GB-SXM (DGX/EOS-class)", {{}, {.cluster = "h100-ib"}}},
      {"H100-80GB-SXM (DGX-H100)", {{}, {.cluster = "h100-ib"}}},
      {"H100-80GB-SXM (hopper-prod)", {{}, {.cluster = "h100-ib"}}},
      {"H100-80GB-SXM (8x50GB/s IB)", {{}, {.cluster = "h100-ib"}}},
      {"H100-80GB-SXM (OCI RoCE)", {{}, {.cluster = "h100-ib"}}},
      {"H100-80GB-SXM 700W (Grand Teton, RoCE 400G)", {{}, {.cluster = "h100-ib"}}},
      {"H100-80GB-SXM (800Gb/s)",
       {{}, {.cluster = "h100-ib", .network_bytes_per_s = 800 * kGigabit / 8}}},
      {"H100-96GB HBM2e 500W (Grand Teton, 400Gb/s RDMA)",
       {{}, {.cluster = "h100-96gb-500w-rdma"}}},
      {"H200-141GB-SXM (400Gb/s CX-7)", {{}, {.cluster = "h200-ib"}}},
      {"H800-80GB (NVLink 160GB/s bidir-limited, IB)", {{}, {.cluster = "h800-ib"}}},
      {"B200-SXM", {{}, {.cluster = "b200-ib"}}},
      {"B200 (HGX preview)", {{}, {.cluster = "b200-ib"}}},
      {"B300-SXM", {{}, {.cluster = "b300-ib"}}},
      {"GB200 (NVL72)", {{}, {.cluster = "b200-nvl72"}}},
      {"GB300 (NVL72)", {{}, {.cluster = "gb300-nvl72"}}},
      {"MI300X", {{}, {.cluster = "mi300x-roce"}}},
      {"MI355X", {{}, {.cluster = "mi355x-roce"}}},
  };
  return words;
}

template <class Meaning>
std::vector<std::string_view> words_of(const Words<Meaning>& words) {
  std::vector<std::string_view> all;
  for (const auto& [word, meaning] : words)
    if (std::find(all.begin(), all.end(), word) == all.end()) all.push_back(word);
  return all;
}

template <class Meaning>
std::optional<Meaning> find_word(const Words<Meaning>& words, std::string_view word) {
  for (const auto& [name, meaning] : words)
    if (name == word) return meaning;
  return std::nullopt;
}

}  // namespace

std::vector<std::string_view> published_words(std::string_view column) {
  if (column == "precision") return words_of(precisions());
  if (column == "zero_distopt") return words_of(shardings());
  if (column == "recompute") return words_of(recomputes());
  if (column == "pp_schedule") return words_of(schedules());
  if (column == "moe_layer_freq") return words_of(dense_layers());
  if (column == "gpu") return words_of(devices());
  if (column == "sequence_parallel") return {"yes", "no"};
  if (column == "head_dim") return {kLatentDims, kLatentWithoutDims};
  return {};
}

std::optional<PrecisionWord> precision_word(std::string_view word) {
  return find_word(precisions(), word);
}
std::optional<ShardingWord> sharding_word(std::string_view word) {
  return find_word(shardings(), word);
}
std::optional<std::vector<spec::RecomputeKind>> recompute_word(std::string_view word) {
  return find_word(recomputes(), word);
}
std::optional<std::string_view> schedule_word(std::string_view word) {
  return find_word(schedules(), word);
}
std::optional<int> dense_layers_word(std::string_view word) {
  return find_word(dense_layers(), word);
}

std::optional<DeviceWord> device_word(std::string_view word, std::string_view group) {
  for (const auto& [name, line] : devices())
    if (name == word && (line.group.empty() || line.group == group)) return line.meaning;
  return std::nullopt;
}

}  // namespace tera::plan
