#include "core/plan/published_recipes.h"

#include <charconv>
#include <cstdint>

#include "core/plan/constant.h"
#include "core/plan/published_words.h"

namespace tera::plan {
namespace {

using spec::GraphScope;

struct Settings {
  bool deduplicates = false;  // DeepEP or HybridEP; else the plain all-to-all
  bool overlaps = false;      // overlap_moe_expert_parallel_comm
  GraphScope graphs = GraphScope::none;
  bool fuses = false;         // fused grouped MLP
  bool short_scores = false;  // fp8_dot_product_attention
};
constexpr Settings kPlain{};
constexpr Settings kPlainOverlapped{.overlaps = true};
constexpr Settings kPlainRouting{.graphs = GraphScope::routing};
constexpr Settings kPlainFull{.graphs = GraphScope::full};
constexpr Settings kOnce{.deduplicates = true};
constexpr Settings kOnceOverlapped{.deduplicates = true, .overlaps = true};
constexpr Settings kOnceRouting{.deduplicates = true, .graphs = GraphScope::routing};
constexpr Settings kOncePartial{.deduplicates = true, .graphs = GraphScope::layers};
constexpr Settings kOncePartialOverlapped{
    .deduplicates = true, .overlaps = true, .graphs = GraphScope::layers};
constexpr Settings kWhole{
    .deduplicates = true, .overlaps = true, .graphs = GraphScope::full, .fuses = true};
constexpr Settings kWholeShort{.deduplicates = true,
                               .overlaps = true,
                               .graphs = GraphScope::full,
                               .fuses = true,
                               .short_scores = true};

constexpr Constant kShortScores{
    "attention with operands of 8 bits", 1.33, "", false,
    "cuDNN's in blocks over that with 16, both passes: on 2,048 to 8,192 tokens 1.28 to 1.31 on "
    "GB200 and 1.33 to 1.41 on GB300 (cudnn-frontend, benchmark/sdpa_benchmark_training/results/"
    "dsv3 of April 2026)"};

struct Recipe {
  int release = 0;  // of the container, as 100 x year + month; from it on
  int patch = 0;
  std::string_view model, device;  // that names begin with; devices of the line in order
  Settings settings;
  // Of latent attention the up-projection (mla_up_proj). Norms, moe_act and the mlp of the few
  // dense layers, which recipes name too, take next to no time.
  bool repeats_up = false;
};

// Megatron-Bridge, scripts/performance at the tags of the containers: 25.09 v0.1.0rc4, 25.11
// v0.2.0, 26.02 v0.3.0, 26.02.01 v0.3.1, 26.04 v0.4.0, 26.04.01 v0.4.2, 26.06 v0.5.0, 26.08
// v0.6.0; workload_base_configs.py of deepseek and qwen (25.09: perf_matrix and run_script.py).
// Where the recipe of 26.02 asks for DeepEP, which its container lacks (docs/releases,
// known-issues.md), the line of before holds. Later lines win.
constexpr Recipe kBridge[] = {
    {2509, 0, "DeepSeekV3", "H100", kOnceOverlapped, true},
    {2509, 0, "DeepSeekV3", "B200", kPlain, true},
    {2509, 0, "DeepSeekV3", "GB200", kPlain, true},
    {2511, 0, "DeepSeekV3", "GB200", kOnceRouting, true},
    {2511, 0, "DeepSeekV3", "GB300", kOncePartial},
    {2602, 0, "DeepSeekV3", "GB200", kOncePartial, true},
    {2602, 0, "DeepSeekV3", "H100", kOnce, true},
    {2602, 0, "DeepSeekV3", "B200", kOnce, true},
    {2602, 0, "DeepSeekV3", "B300", kOnce, true},
    {2602, 0, "DeepSeekV3", "GB300", kOnce, true},
    {2604, 0, "DeepSeekV3", "GB200", kOncePartial},
    {2604, 1, "DeepSeekV3", "B200", kOncePartialOverlapped, true},
    {2604, 1, "DeepSeekV3", "B300", kOncePartial, true},
    {2606, 0, "DeepSeekV3", "GB200", kWhole, true},
    {2606, 0, "DeepSeekV3", "GB300", kWholeShort},
    {2608, 0, "DeepSeekV3", "B300", kWholeShort, true},
    {2509, 0, "Qwen3_235B", "H100", kPlainOverlapped},
    {2509, 0, "Qwen3_235B", "B200", kPlain},
    {2509, 0, "Qwen3_235B", "GB200", kPlainFull},
    {2511, 0, "Qwen3_235B", "B200", kPlainOverlapped},
    {2511, 0, "Qwen3_235B", "GB200", kOncePartial},
    {2511, 0, "Qwen3_235B", "GB300", kOnceRouting},
    {2602, 0, "Qwen3_235B", "GB300", kOncePartial},
    {2602, 0, "Qwen3_235B", "B200", kPlain},
    {2602, 0, "Qwen3_235B", "B300", kPlainOverlapped},
    {2604, 0, "Qwen3_235B", "B300", kPlain},
    {2604, 1, "Qwen3_235B", "B300", kOnce},
    {2606, 0, "Qwen3_235B", "GB200", kWholeShort},
    {2606, 0, "Qwen3_235B", "GB300", kWholeShort},
    {2509, 0, "Qwen3_30B", "H100", kPlain},
    {2509, 0, "Qwen3_30B", "B200", kPlainFull},
    {2509, 0, "Qwen3_30B", "GB200", kPlainFull},
    {2511, 0, "Qwen3_30B", "H100", kPlainOverlapped},
    {2511, 0, "Qwen3_30B", "B200", kPlainRouting},
    {2511, 0, "Qwen3_30B", "GB200", kOnceRouting},
    {2511, 0, "Qwen3_30B", "GB300", kOnceRouting},
    {2602, 1, "Qwen3_30B", "H100", kOnce},
    {2602, 0, "Qwen3_30B", "B300", kOnceRouting},
    {2602, 1, "Qwen3_30B", "B200", kOncePartial},
    {2606, 0, "Qwen3_30B", "B300", kWholeShort},
    {2606, 0, "Qwen3_30B", "GB200", kWholeShort},
    {2606, 0, "Qwen3_30B", "GB300", kWholeShort},
};

// Megatron Core's report and its recipes: HybridEP with partial graphs on NVL72, DeepEP with
// overlap on H100. Source: arXiv 2603.07685, sections 5 and 8; Megatron-MoE-ModelZoo,
// best_practice.
constexpr Recipe kReport[] = {
    {0, 0, "", "GB", kOncePartial},
    {0, 0, "", "H100", kOnceOverlapped},
};

// Container of the summary that the row is from: "... (26.04.01 NeMo Container)".
struct Release {
  int month = 0;  // 100 x year + month
  int patch = 0;
};
Release release_of(std::string_view source) {
  const std::size_t open = source.find('(');
  if (open == std::string_view::npos) return {};
  const char* at = source.data() + open + 1;
  const char* const end = source.data() + source.size();
  int numbers[3] = {0, 0, 0};
  for (int& number : numbers) {
    const auto read = std::from_chars(at, end, number);
    if (read.ec != std::errc() || read.ptr == end || *read.ptr != '.') break;
    at = read.ptr + 1;
  }
  return {100 * numbers[0] + numbers[1], numbers[2]};
}

template <std::size_t N>
const Recipe* find(const Recipe (&recipes)[N], const PublishedRow& row, const Release& release) {
  const auto begins = [](std::string_view name, std::string_view with) {
    return name.substr(0, with.size()) == with;
  };
  const Recipe* found = nullptr;
  for (const Recipe& recipe : recipes) {
    const bool later = release.month > recipe.release ||
                       (release.month == recipe.release && release.patch >= recipe.patch);
    if (later && begins(row.model, recipe.model) && begins(row.gpu, recipe.device)) found = &recipe;
  }
  return found;
}

bool has_recipe(const PublishedRow& row) {
  return row.has_experts() &&
         (row.group == "MBRIDGE" || row.group == "MCOREMOE" || row.group == "ZOO");
}

}  // namespace

// Recipes of Qwen3 set recompute_granularity to None; those of DeepSeek-V3 name mla_up_proj, mlp or
// moe_act, and never whole layers. Those of 2025 for DGXC name mla_up_proj, or core_attn where
// scores are stored (deepseek_v3/pretraining/launch.sh).
std::optional<std::vector<spec::RecomputeKind>> published_recompute(const PublishedRow& row) {
  using enum spec::RecomputeKind;
  const bool is_latent = row.head_dim == kLatentDims;
  if (is_latent && row.group == "DGXC") return {{selective}};
  if (!has_recipe(row)) return std::nullopt;
  if (!is_latent) return {{none}};
  if (row.group != "MBRIDGE") return {{none, selective}};
  const Recipe* const recipe = find(kBridge, row, release_of(row.source));
  return {{recipe != nullptr && recipe->repeats_up ? selective : none}};
}

// Megatron-Bridge names such rows; the script of DGXC's recipe has USE_TOKEN_DROP (NeMo,
// scripts/performance/llm/pretrain_deepseek_v3.py). Both take a capacity of 1 and fill experts up
// to it (apply_moe_token_drop; MegatronTokenDropCallback).
bool drops_tokens(const PublishedRow& row) {
  return row.model.find("(tokendrop)") != std::string::npos ||
         (row.group == "DGXC" && row.head_dim == kLatentDims);
}

void set_published_recipe(const PublishedRow& row, spec::SoftwareConfig& software) {
  if (!row.has_experts()) return;
  // cuDNN trains latent attention on Blackwell from 9.11 on (Transformer Engine, fused_attn.cpp);
  // the container of DGXC's recipes of 2025 (NeMo 25.04.01) is older, and they recompute the
  // scores.
  const bool is_latent = row.head_dim == kLatentDims;
  if (row.group == "DGXC" && is_latent && row.gpu.substr(0, 2) == "GB") {
    software.fused_attention = false;
    return;
  }
  const Recipe* recipe = nullptr;
  if (row.group == "MBRIDGE") {
    recipe = find(kBridge, row, release_of(row.source));
  } else if (has_recipe(row)) {
    recipe = find(kReport, row, {});
  }
  if (recipe == nullptr) return;
  const Settings* const settings = &recipe->settings;
  software.token_deduplication = settings->deduplicates;
  software.expert_overlap = settings->overlaps;
  software.cuda_graphs = settings->graphs;
  software.fused_experts = settings->fuses;
  software.attention_share = settings->short_scores ? kShortScores.value : 1;
}

}  // namespace tera::plan
