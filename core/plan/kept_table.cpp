#include "core/plan/kept_table.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/plan/param_table.h"
#include "core/plan/rank_extents.h"
#include "core/plan/state_bytes.h"

namespace tera::plan {
namespace {

using Shape = std::vector<std::int64_t>;
using spec::Framework;
using spec::RecomputeKind;
using spec::RunSpec;

bool ends_with_any(std::string_view name, const auto& ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [name](std::string_view end) { return name.ends_with(end); });
}

constexpr std::array<std::string_view, 6> kReadByProducts = {
    "norm_out", "attention.out", "ffn.act", "moe.permuted", "moe.act", "moe.shared.act"};
constexpr std::array<std::string_view, 11> kGradientsAtProducts = {
    "attention.d_qkv", "attention.d_query", "latent_d_up", "latent_d_down",
    "attention.d_y",   "ffn.d_inner",       "ffn.d_out",   "moe.d_inner",
    "moe.d_out",       "shared.d_inner",    "shared.d_out"};
constexpr std::array<std::string_view, 7> kRowsOfExperts = {
    "moe.permuted", "moe.row_gates", "moe.inner", "moe.act", "moe.out", "moe.d_inner", "moe.d_out"};

// What TeraGPT keeps to send rows of experts again.
constexpr std::array<std::string_view, 3> kOfExchange = {"moe.counts", "moe.row_gates",
                                                         "moe.choices"};

// What other frameworks keep beside TeraGPT's entries.
class MoreEntries {
 public:
  MoreEntries(const RunSpec& spec, int layer, std::vector<StashEntry>& entries)
      : spec_(spec),
        model_(spec.model),
        prefix_(fmt::format("layers.{}.", layer)),
        compute_(compute_dtype(spec.training.precision)),
        rank_(rank_extents(spec)),
        entries_(entries) {}

  void scores() {
    const std::int64_t length = spec_.training.seq_length;
    const Shape square = {spec_.layout.micro_batch_size * rank_.heads,
                          length / spec_.layout.context_parallel_size, length};
    add("attention.probabilities", square, compute_);
    if (!spec_.software.dropout) return;
    add("attention.dropped", square, compute_);
    add("attention.dropped_mask", square, DType::u8);
  }

  void residual_masks() {
    add("attention.residual_mask", {rank_.own_tokens, model_.hidden_size}, DType::u8);
    add("ffn.residual_mask", {rank_.own_tokens, model_.hidden_size}, DType::u8);
  }

  void before_rotary() {
    if (model_.attention == spec::AttentionKind::latent) return;
    if (model_.qk_norm != spec::QkNormKind::none) return;
    add("attention.q_unrotated", {rank_.tokens, rank_.heads, model_.head_dim}, compute_);
    add("attention.k_unrotated", {rank_.tokens, rank_.kv_heads, model_.head_dim}, compute_);
  }

  void unfused(bool moe) {
    if (model_.attention == spec::AttentionKind::grouped_query) {
      add("attention.qkv_copy", {rank_.tokens, rank_.heads + 2 * rank_.kv_heads, model_.head_dim},
          compute_);
    }
    add("attention.sum", {rank_.own_tokens, model_.hidden_size}, compute_);
    add("ffn.sum", {rank_.own_tokens, model_.hidden_size}, compute_);
    if (!moe && model_.gated()) add("ffn.gate_act", {rank_.tokens, rank_.ffn_width}, compute_);
  }

  void expert_output() { add("moe.out", {rank_.expert_rows, model_.hidden_size}, compute_); }

 private:
  void add(std::string_view name, Shape shape, DType dtype) {
    entries_.push_back({fmt::format("{}{}", prefix_, name), std::move(shape), dtype});
  }

  const RunSpec& spec_;
  const spec::ModelConfig& model_;
  std::string prefix_;
  DType compute_;
  RankExtents rank_;
  std::vector<StashEntry>& entries_;
};

// torchtitan's selective recomputation by operation: the outputs of attention and of every second
// product, here of q, v, gate and down.
bool kept_by_operation(std::string_view name) {
  constexpr std::array<std::string_view, 6> kKept = {
      "attention.x", "attention.out", "attention.lse", "attention.q", "attention.v", "ffn.x"};
  return ends_with_any(name, kKept) || name.ends_with("ffn.inner") ||
         name.find(".moe.") != std::string_view::npos;
}

// Megatron-LM's --recompute-modules layernorm, moe_act and mla_up_proj. Norms of other layers are
// one with the product behind them and have no output to drop.
void drop_modules(const RunSpec& spec, bool moe, std::vector<StashEntry>& entries) {
  constexpr std::array<std::string_view, 4> kLatent = {"attention.norm_out", "attention.q",
                                                       "attention.k", "attention.v"};
  constexpr std::array<std::string_view, 2> kExperts = {"ffn.norm_out", "moe.act"};
  const bool latent = spec.model.attention == spec::AttentionKind::latent;
  std::erase_if(entries, [&](const StashEntry& e) {
    return (latent && ends_with_any(e.name, kLatent)) || (moe && ends_with_any(e.name, kExperts));
  });
}

std::vector<StashEntry> after_recompute(const RunSpec& spec,
                                        bool moe,
                                        std::vector<StashEntry> entries) {
  const RecomputeKind recompute = spec.layout.recompute;
  const Framework framework = spec.software.framework;
  if (recompute == RecomputeKind::full) {
    std::erase_if(entries, [](const StashEntry& e) { return !e.name.ends_with("attention.x"); });
  } else if (recompute == RecomputeKind::selective && framework == Framework::megatron_lm &&
             spec.software.fused_attention) {
    drop_modules(spec, moe, entries);
  } else if (recompute == RecomputeKind::selective && framework == Framework::torchtitan) {
    std::erase_if(entries, [](const StashEntry& e) { return !kept_by_operation(e.name); });
    for (StashEntry& entry : entries) {  // the gate's product is kept, not the other's
      if (spec.model.gated() && entry.name.ends_with("ffn.inner")) entry.shape.back() /= 2;
    }
  }
  return entries;
}

}  // namespace

std::vector<StashEntry> kept_table(const RunSpec& spec, int layer) {
  if (spec.software.framework == Framework::teragpt)
    return make_stash_table(spec, layer, layer + 1, false);
  RunSpec keep_all = spec;
  keep_all.layout.recompute = RecomputeKind::none;
  std::vector<StashEntry> entries = make_stash_table(keep_all, layer, layer + 1, false);
  std::erase_if(entries, [](const StashEntry& e) { return ends_with_any(e.name, kOfExchange); });
  MoreEntries more(spec, layer, entries);
  const bool moe = spec.model.is_moe_layer(layer);
  const bool drops_scores = spec.layout.recompute == RecomputeKind::selective;
  if (!spec.software.fused_attention && !drops_scores) more.scores();
  if (spec.software.dropout) more.residual_masks();
  if (spec.model.position == spec::PositionKind::rotary &&
      (spec.software.framework == Framework::megatron_lm || !spec.software.compiled)) {
    more.before_rotary();
  }
  if (!spec.software.compiled) more.unfused(moe);
  if (moe && spec.software.framework != Framework::megatron_lm) more.expert_output();
  return after_recompute(spec, moe, std::move(entries));
}

std::vector<StashEntry> waiting_table(const RunSpec& spec, int layer) {
  if (spec.software.framework == Framework::teragpt)
    return make_waiting_table(spec, layer, layer + 1, false);
  RunSpec keep_all = spec;
  keep_all.layout.recompute = RecomputeKind::none;
  std::vector<StashEntry> entries = make_waiting_table(keep_all, layer, layer + 1, false);
  std::erase_if(entries, [](const StashEntry& e) {
    return !ends_with_any(e.name, kReadByProducts) && !ends_with_any(e.name, kGradientsAtProducts);
  });
  return entries;
}

double kept_bytes(const StashEntry& entry, const RunSpec& spec, double expert_load) {
  const bool torch = spec.software.framework == Framework::torchtitan;
  const bool gathers = spec.layout.sequence_parallel && !spec.software.tensor_overlap;
  double bytes = static_cast<double>(entry.num_bytes());
  const spec::Precision precision = spec.training.precision;
  const bool read =
      ends_with_any(entry.name, kReadByProducts) || ends_with_any(entry.name, kGradientsAtProducts);
  if (!torch && spec::has_narrow_products(precision) && read) bytes *= product_bytes(precision) / 2;
  if (torch && gathers && entry.name.ends_with(".norm_out"))
    bytes *= spec.layout.tensor_parallel_size;
  const bool own = spec.software.framework == Framework::teragpt;  // buffers: in the table
  if (!own && ends_with_any(entry.name, kRowsOfExperts)) bytes *= expert_load;
  return bytes;
}

}  // namespace tera::plan
