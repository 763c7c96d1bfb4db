#include "core/plan/working_memory.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/param_table.h"
#include "core/plan/placement.h"
#include "core/plan/stash_table.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

// Bytes of one micro-batch's stash on one rank, of entries whose name holds `part` (all if empty).
double stash_bytes(const RunSpec& spec,
                   const std::vector<StashEntry>& entries,
                   std::string_view part) {
  double bytes = 0;
  for (const StashEntry& entry : entries) {
    const bool counted = part.empty() || entry.name.find(part) != std::string::npos;
    if (counted) bytes += static_cast<double>(entry.num_bytes()) * stash_share(entry.name, spec);
  }
  return bytes;
}

std::vector<StashEntry> layer_stash(const RunSpec& spec, bool moe) {
  const int layer = layer_of_kind(spec.model, moe);
  return make_stash_table(spec, layer, layer + 1, false);
}

Term activation_part(const RunSpec& spec,
                     std::string label,
                     const std::vector<StashEntry>& entries,
                     std::string_view part,
                     int layers,
                     int in_flight) {
  const double bytes = stash_bytes(spec, entries, part);
  return {.label = std::move(label),
          .value = bytes * layers * in_flight,
          .unit = "B",
          .formula = fmt::format("{} per layer and micro-batch x {} layer{} x {} in flight",
                                 format_bytes(bytes), layers, layers == 1 ? "" : "s", in_flight),
          .source = "list of kept tensors (stash table); Korthikanti et al. 2022, section 4",
          .children = {}};
}

// Everything one layer's backward touches, with nothing recomputed.
double largest_layer_bytes(const RunSpec& spec, const LayerMix& mix) {
  RunSpec keep_all = spec;
  keep_all.layout.recompute = spec::RecomputeKind::none;
  double bytes = 0;
  if (mix.dense > 0)
    bytes = std::max(bytes, stash_bytes(keep_all, layer_stash(keep_all, false), {}));
  if (mix.moe > 0) bytes = std::max(bytes, stash_bytes(keep_all, layer_stash(keep_all, true), {}));
  return bytes;
}

Term leaf(std::string label, double bytes, std::string formula, std::string source) {
  return {.label = std::move(label),
          .value = bytes,
          .unit = "B",
          .formula = std::move(formula),
          .source = std::move(source),
          .children = {}};
}

// What updating the tensor that needs the most takes; matrices of Muon are whole there.
Term update_workspace(const RunSpec& spec, double bytes) {
  const bool muon = spec.training.optimizer == spec::OptimizerKind::muon;
  return leaf("update of the largest tensor", bytes,
              muon ? "4 B x (2 x rows x columns + 2 x the smaller of both squared), largest matrix"
                   : "4 B x elements updated at a time, 6 B where they are rounded by chance",
              muon
                  ? "buffers of the Newton-Schulz iteration: Jordan et al. 2024, Muon"
                  : "a piece of the weight in f32; by chance: and 16 random bits for each element");
}

Term pass_workspace(const RunSpec& spec, int stage, double weight_bytes) {
  const spec::ModelConfig& model = spec.model;
  const spec::ParallelLayout& layout = spec.layout;
  const LayerRange range = stage_layers(model.num_layers, layout.pipeline_parallel_size, stage);
  const LayerMix mix = layer_mix(model, range);
  const double tokens =
      double{1} * layout.micro_batch_size * spec.training.seq_length / layout.context_parallel_size;
  const auto compute_bytes =
      static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
  std::vector<Term> children;
  const double layer_bytes = largest_layer_bytes(spec, mix);
  children.push_back(
      leaf("gradients of one layer", layer_bytes,
           fmt::format("as large as what one layer keeps: {}", format_bytes(layer_bytes)),
           "upper bound: each kept tensor has a gradient while its layer runs backward"));
  if (layout.recompute != spec::RecomputeKind::none) {
    children.push_back(
        leaf("recomputed layer", layer_bytes,
             fmt::format("everything one layer keeps: {}", format_bytes(layer_bytes)),
             "Chen et al. 2016, training with sublinear memory"));
  }
  if (stage == layout.pipeline_parallel_size - 1) {
    const double chunk = std::min(tokens, static_cast<double>(kLogitsChunkTokens));
    const double vocab = double{1} * model.vocab_size / layout.tensor_parallel_size;
    const double word_bytes = compute_bytes < 4 ? 4 + compute_bytes : 4;
    children.push_back(leaf(
        "logits", chunk * vocab * word_bytes,
        fmt::format("{:.0f} tokens at a time x {:.0f} words x {:.0f} B", chunk, vocab, word_bytes),
        "the head works through the micro-batch in chunks: f32 logits, and their gradient where it "
        "is bf16"));
  }
  const double exchange =
      double{1} * layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  if (exchange > 1 && mix.moe > 0) {
    const std::int64_t micro_batch =
        std::int64_t{layout.micro_batch_size} * spec.training.seq_length;
    const double rows = static_cast<double>(model.routed_rows(micro_batch)) /
                        layout.context_parallel_size *
                        (layout.sequence_parallel ? 1.0 / layout.tensor_parallel_size : 1);
    children.push_back(leaf("expert exchange", 2 * rows * model.hidden_size * compute_bytes,
                            fmt::format("sent and received: 2 x {} rows x {} x {:.0f} B",
                                        format_count(rows), model.hidden_size, compute_bytes),
                            "buffers of the all-to-all"));
  }
  if (layout.zero_stage >= 3) {
    const double bytes = 2 * weight_bytes / std::max(1, range.size());
    children.push_back(leaf("gathered layers", bytes,
                            "the layer that runs and the next one, in full",
                            "Rajbhandari et al. 2020, ZeRO, section 3"));
  }
  return sum_term("workspace", "B", std::move(children));
}

}  // namespace

Term activations(const RunSpec& spec, int stage, int in_flight) {
  const int num_stages = spec.layout.pipeline_parallel_size;
  const LayerMix mix =
      layer_mix(spec.model, stage_layers(spec.model.num_layers, num_stages, stage));
  std::vector<Term> children;
  if (mix.dense > 0) {
    const auto entries = layer_stash(spec, false);
    children.push_back(activation_part(spec, "attention of dense layers", entries, ".attention.",
                                       mix.dense, in_flight));
    children.push_back(
        activation_part(spec, "dense feed-forward", entries, ".ffn.", mix.dense, in_flight));
  }
  if (mix.moe > 0) {
    const auto entries = layer_stash(spec, true);
    children.push_back(activation_part(spec, "attention of expert layers", entries, ".attention.",
                                       mix.moe, in_flight));
    children.push_back(
        activation_part(spec, "expert layer input", entries, ".ffn.", mix.moe, in_flight));
    children.push_back(activation_part(spec, "experts", entries, ".moe.", mix.moe, in_flight));
  }
  if (stage == num_stages - 1) {
    std::vector<StashEntry> head = make_stash_table(spec, 0, 0, true);
    const auto ahead = std::stable_partition(head.begin(), head.end(), [](const StashEntry& entry) {
      return entry.name.compare(0, 7, "layers.") != 0;
    });
    const std::vector<StashEntry> predictions(ahead, head.end());
    head.erase(ahead, head.end());
    const auto add = [&](const char* label, const std::vector<StashEntry>& entries) {
      Term part = activation_part(spec, label, entries, {}, 1, in_flight);
      part.formula = fmt::format("{} per micro-batch x {} in flight",
                                 format_bytes(stash_bytes(spec, entries, {})), in_flight);
      children.push_back(std::move(part));
    };
    add("head", head);
    add("multi-token prediction", predictions);
  }
  std::erase_if(children, [](const Term& term) { return term.value <= 0; });
  return sum_term("activations", "B", std::move(children));
}

Term workspace(const RunSpec& spec, int stage, double weight_bytes, double update_bytes) {
  Term passes = pass_workspace(spec, stage, weight_bytes);
  if (update_bytes <= passes.value) return passes;
  return sum_term("workspace", "B", {update_workspace(spec, update_bytes)});
}

}  // namespace tera::plan
