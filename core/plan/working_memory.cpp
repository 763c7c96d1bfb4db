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
#include "core/plan/schedule_check.h"
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

LayerBytes layer_bytes(const RunSpec& spec, const RunSpec& keep_all, bool moe) {
  const int layer = layer_of_kind(spec.model, moe);
  const auto kept = make_stash_table(spec, layer, layer + 1, false);
  return {.attention = stash_bytes(spec, kept, ".attention."),
          .feed_forward = stash_bytes(spec, kept, ".ffn."),
          .experts = stash_bytes(spec, kept, ".moe."),
          .waiting = stash_bytes(spec, make_waiting_table(spec, layer), {}),
          .everything = stash_bytes(spec, make_stash_table(keep_all, layer, layer + 1, false), {})};
}

// What a chunk holds of one micro-batch; the head keeps all it has until its weights are done.
StashBytes chunk_bytes(const RunSpec& spec, const ActivationBytes& bytes, const StageChunk& chunk) {
  const LayerMix mix = layer_mix(spec.model, chunk.layers);
  const double head = chunk.has_head ? bytes.head + bytes.prediction : 0;
  return {.whole = mix.dense * bytes.dense.whole() + mix.moe * bytes.moe.whole() + head,
          .waiting = mix.dense * bytes.dense.waiting + mix.moe * bytes.moe.waiting + head};
}

// What the chunks of a stage hold together when it is most: layers times micro-batches.
struct Held {
  int layers = 0;  // of the stage
  std::int64_t whole = 0;
  std::int64_t waiting = 0;
};

Term activation_part(std::string label, double bytes, const Held& held, bool one_chunk) {
  const std::string count = one_chunk && held.layers > 0
                                ? fmt::format("{} layer{} x {} in flight", held.layers,
                                              held.layers == 1 ? "" : "s", held.whole / held.layers)
                                : fmt::format("{} layers in flight over the chunks", held.whole);
  return {.label = std::move(label),
          .value = bytes * static_cast<double>(held.whole),
          .unit = "B",
          .formula = fmt::format("{} per layer and micro-batch x {}", format_bytes(bytes), count),
          .source = "list of kept tensors (stash table); Korthikanti et al. 2022, section 4",
          .children = {}};
}

Term waiting_part(const ActivationBytes& bytes, const Held& dense, const Held& moe) {
  const auto part = [](const Held& held, double each) {
    return fmt::format("{} layers x {}", held.waiting, format_bytes(each));
  };
  const double value = static_cast<double>(dense.waiting) * bytes.dense.waiting +
                       static_cast<double>(moe.waiting) * bytes.moe.waiting;
  return {.label = "waiting for weight gradients",
          .value = value,
          .unit = "B",
          .formula = dense.waiting == 0 ? part(moe, bytes.moe.waiting)
                     : moe.waiting == 0 ? part(dense, bytes.dense.waiting)
                                        : fmt::format("{} + {}", part(dense, bytes.dense.waiting),
                                                      part(moe, bytes.moe.waiting)),
          .source =
              "kept tensors and gradients between the halves of backward (stash table); Qi et "
              "al. 2023, section 2.1",
          .children = {}};
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

Term pass_workspace(const RunSpec& spec,
                    const ActivationBytes& bytes,
                    const StageParts& parts,
                    double weight_bytes) {
  const spec::ModelConfig& model = spec.model;
  const spec::ParallelLayout& layout = spec.layout;
  const LayerMix& mix = parts.layers;
  const double tokens =
      double{1} * layout.micro_batch_size * spec.training.seq_length / layout.context_parallel_size;
  const auto compute_bytes =
      static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
  std::vector<Term> children;
  const double layer_bytes =
      std::max(mix.dense > 0 ? bytes.dense.everything : 0, mix.moe > 0 ? bytes.moe.everything : 0);
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
  if (parts.has_head) {
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
    children.push_back(leaf("gathered layers", 2 * weight_bytes / std::max(1, mix.dense + mix.moe),
                            "the layer that runs and the next one, in full",
                            "Rajbhandari et al. 2020, ZeRO, section 3"));
  }
  return sum_term("workspace", "B", std::move(children));
}

}  // namespace

ActivationBytes activation_bytes(const RunSpec& spec) {
  const LayerMix all = layer_mix(spec.model, {0, spec.model.num_layers});
  ActivationBytes bytes;
  RunSpec keep_all = spec;
  keep_all.layout.recompute = spec::RecomputeKind::none;
  if (all.dense > 0) bytes.dense = layer_bytes(spec, keep_all, false);
  if (all.moe > 0) bytes.moe = layer_bytes(spec, keep_all, true);
  for (const StashEntry& entry : make_stash_table(spec, 0, 0, true)) {
    const bool is_head = entry.name.compare(0, 7, "layers.") != 0;
    (is_head ? bytes.head : bytes.prediction) +=
        static_cast<double>(entry.num_bytes()) * stash_share(entry.name, spec);
  }
  return bytes;
}

Term activations(const RunSpec& spec,
                 const ActivationBytes& bytes,
                 int stage,
                 const StageOrder& order) {
  const std::vector<StageChunk> chunks = stage_chunks(spec, stage);
  std::vector<StashBytes> each;
  for (const StageChunk& chunk : chunks)
    each.push_back(chunk_bytes(spec, bytes, chunk));
  const std::vector<ChunkStash> peak = peak_stash(order, each);
  Held dense, moe;
  std::int64_t heads = 0;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const LayerMix mix = layer_mix(spec.model, chunks[i].layers);
    const auto add = [&peak, i](Held& held, int layers) {
      held.layers += layers;
      held.whole += layers * peak[i].whole;
      held.waiting += layers * peak[i].waiting;
    };
    add(dense, mix.dense);
    add(moe, mix.moe);
    if (chunks[i].has_head) heads = peak[i].whole + peak[i].waiting;
  }
  const bool one = chunks.size() == 1;
  std::vector<Term> children = {
      activation_part("attention of dense layers", bytes.dense.attention, dense, one),
      activation_part("dense feed-forward", bytes.dense.feed_forward, dense, one),
      activation_part("attention of expert layers", bytes.moe.attention, moe, one),
      activation_part("expert layer input", bytes.moe.feed_forward, moe, one),
      activation_part("experts", bytes.moe.experts, moe, one),
      waiting_part(bytes, dense, moe)};
  const auto add = [&](const char* label, double part) {
    const Held held{.layers = 1, .whole = heads, .waiting = 0};
    Term term = activation_part(label, part, held, true);
    term.formula = fmt::format("{} per micro-batch x {} in flight", format_bytes(part), heads);
    children.push_back(std::move(term));
  };
  add("head", bytes.head);
  add("multi-token prediction", bytes.prediction);
  std::erase_if(children, [](const Term& term) { return term.value <= 0; });
  return sum_term("activations", "B", std::move(children));
}

Term workspace(const RunSpec& spec,
               const ActivationBytes& bytes,
               const StageParts& parts,
               double weight_bytes,
               double update_bytes) {
  Term passes = pass_workspace(spec, bytes, parts, weight_bytes);
  if (update_bytes <= passes.value) return passes;
  return sum_term("workspace", "B", {update_workspace(spec, update_bytes)});
}

}  // namespace tera::plan
