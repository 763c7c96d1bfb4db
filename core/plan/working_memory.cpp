#include "core/plan/working_memory.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/expert_load.h"
#include "core/plan/kept_table.h"
#include "core/plan/param_table.h"
#include "core/plan/placement.h"
#include "core/plan/schedule_check.h"

namespace tera::plan {
namespace {

using spec::Framework;
using spec::RunSpec;

// Bytes of one micro-batch on one rank, of entries whose name holds `part` (all if empty).
double sum_of(const RunSpec& spec,
              const std::vector<StashEntry>& entries,
              std::string_view part,
              double expert_load) {
  double bytes = 0;
  for (const StashEntry& entry : entries) {
    const bool counted = part.empty() || entry.name.find(part) != std::string::npos;
    if (counted) bytes += kept_bytes(entry, spec, expert_load);
  }
  return bytes;
}

LayerBytes layer_bytes(const RunSpec& spec, const RunSpec& keep_all, bool moe, double load) {
  const int layer = layer_of_kind(spec.model, moe);
  const auto kept = kept_table(spec, layer);
  return {.attention = sum_of(spec, kept, ".attention.", load),
          .feed_forward = sum_of(spec, kept, ".ffn.", load),
          .experts = sum_of(spec, kept, ".moe.", load),
          .waiting = sum_of(spec, waiting_table(spec, layer), {}, load),
          .everything = sum_of(spec, kept_table(keep_all, layer), {}, load)};
}

// What the pipeline keeps of a micro-batch beside the layers: DeepSpeed's PipelineEngine has inputs
// and outputs of a stage in pipe_buffers, PyTorch's PipelineStage outputs and a buffer for each
// gradient to come.
double bytes_between_stages(const RunSpec& spec) {
  const spec::ParallelLayout& layout = spec.layout;
  const Framework framework = spec.software.framework;
  const bool keeps = framework == Framework::deepspeed || framework == Framework::torchtitan;
  const double residuals = keeps ? 2 : 0;
  if (layout.pipeline_parallel_size == 1) return 0;
  return residuals * local_tokens(spec) * spec.model.hidden_size *
         (layout.sequence_parallel ? 1.0 / layout.tensor_parallel_size : 1) *
         static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
}

// What a chunk holds of one micro-batch; the head keeps all it has until its weights are done.
StashBytes chunk_bytes(const RunSpec& spec, const ActivationBytes& bytes, const StageChunk& chunk) {
  const LayerMix mix = layer_mix(spec.model, chunk.layers);
  const double head = chunk.has_head ? bytes.head : 0;
  const double prediction = chunk.has_head ? bytes.prediction : 0;
  const double prediction_waiting = chunk.has_head ? bytes.prediction_waiting : 0;
  return {.whole = mix.dense * bytes.dense.whole() + mix.moe * bytes.moe.whole() + head +
                   prediction + bytes.between_stages,
          .waiting = mix.dense * bytes.dense.waiting + mix.moe * bytes.moe.waiting + head +
                     prediction_waiting};
}

Term activation_part(std::string label, double bytes, const HeldOfKind& held, bool one_chunk) {
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

double waiting_bytes(const ActivationBytes& bytes, const HeldLayers& held) {
  return static_cast<double>(held.dense.waiting) * bytes.dense.waiting +
         static_cast<double>(held.moe.waiting) * bytes.moe.waiting;
}

Term waiting_part(const ActivationBytes& bytes, const HeldLayers& held) {
  const auto part = [](const HeldOfKind& kind, double each) {
    return fmt::format("{} layers x {}", kind.waiting, format_bytes(each));
  };
  const std::string dense = part(held.dense, bytes.dense.waiting);
  const std::string moe = part(held.moe, bytes.moe.waiting);
  return {.label = "waiting for weight gradients",
          .value = waiting_bytes(bytes, held),
          .unit = "B",
          .formula = held.dense.waiting == 0 ? moe
                     : held.moe.waiting == 0 ? dense
                                             : fmt::format("{} + {}", dense, moe),
          .source =
              "kept tensors and gradients between the halves of backward (stash table); Qi et "
              "al. 2023, section 2.1",
          .children = {}};
}

}  // namespace

ActivationBytes activation_bytes(const RunSpec& spec) {
  const LayerMix all = layer_mix(spec.model, {0, spec.model.num_layers});
  ActivationBytes bytes;
  RunSpec keep_all = spec;
  keep_all.layout.recompute = spec::RecomputeKind::none;
  bytes.expert_load = busiest_expert_load(spec, spec.layout.expert_load_percentile);
  bytes.between_stages = bytes_between_stages(spec);
  if (all.dense > 0) bytes.dense = layer_bytes(spec, keep_all, false, bytes.expert_load);
  if (all.moe > 0) bytes.moe = layer_bytes(spec, keep_all, true, bytes.expert_load);
  const auto is_head = [](const StashEntry& entry) { return !entry.name.starts_with("layers."); };
  for (const StashEntry& entry : make_stash_table(spec, 0, 0, true)) {
    (is_head(entry) ? bytes.head : bytes.prediction) += kept_bytes(entry, spec, bytes.expert_load);
  }
  if (spec.software.framework != Framework::teragpt) {
    bytes.prediction_waiting = bytes.prediction;
    return bytes;
  }
  for (const StashEntry& entry : make_waiting_table(spec, 0, 0, true)) {
    if (!is_head(entry)) bytes.prediction_waiting += kept_bytes(entry, spec, bytes.expert_load);
  }
  return bytes;
}

void add_held(HeldLayers& held, const ChunkStash& stash, const LayerMix& layers, bool has_head) {
  const auto add = [&stash](HeldOfKind& kind, int count) {
    kind.layers += count;
    kind.whole += count * stash.whole;
    kind.waiting += count * stash.waiting;
  };
  add(held.dense, layers.dense);
  add(held.moe, layers.moe);
  if (has_head) {
    held.heads += stash.whole;
    held.heads_waiting += stash.waiting;
  }
  held.chunks += stash.whole;
}

HeldLayers held_at_peak(const RunSpec& spec,
                        const ActivationBytes& bytes,
                        int stage,
                        const StageOrder& order) {
  const std::vector<StageChunk> chunks = stage_chunks(spec, stage);
  std::vector<StashBytes> each;
  each.reserve(chunks.size());
  for (const StageChunk& chunk : chunks)
    each.push_back(chunk_bytes(spec, bytes, chunk));
  const std::vector<ChunkStash> peak = peak_stash(order, each);
  HeldLayers held;
  for (std::size_t i = 0; i < chunks.size(); ++i)
    add_held(held, peak[i], layer_mix(spec.model, chunks[i].layers), chunks[i].has_head);
  return held;
}

double held_bytes(const ActivationBytes& bytes, const HeldLayers& held) {
  const auto dense = static_cast<double>(held.dense.whole);
  const auto moe = static_cast<double>(held.moe.whole);
  const auto heads = static_cast<double>(held.heads);
  const auto heads_waiting = static_cast<double>(held.heads_waiting);
  return bytes.dense.attention * dense + bytes.dense.feed_forward * dense +
         bytes.moe.attention * moe + bytes.moe.feed_forward * moe + bytes.moe.experts * moe +
         waiting_bytes(bytes, held) + bytes.between_stages * static_cast<double>(held.chunks) +
         bytes.head * (heads + heads_waiting) + bytes.prediction * heads +
         bytes.prediction_waiting * heads_waiting;
}

Term activations(const ActivationBytes& bytes, const HeldLayers& held, bool one_chunk) {
  std::vector<Term> children = {
      activation_part("attention of dense layers", bytes.dense.attention, held.dense, one_chunk),
      activation_part("dense feed-forward", bytes.dense.feed_forward, held.dense, one_chunk),
      activation_part("attention of expert layers", bytes.moe.attention, held.moe, one_chunk),
      activation_part("expert layer input", bytes.moe.feed_forward, held.moe, one_chunk),
      activation_part("experts", bytes.moe.experts, held.moe, one_chunk),
      waiting_part(bytes, held)};
  children.push_back(
      leaf_term("between stages", bytes.between_stages * static_cast<double>(held.chunks), "B",
                fmt::format("{} per micro-batch x {} in flight", format_bytes(bytes.between_stages),
                            held.chunks),
                "inputs and outputs of a stage: DeepSpeed PipelineEngine; outputs and buffers "
                "for their gradients: PyTorch PipelineStage"));
  const auto add = [&](const char* label, double part, std::int64_t count) {
    Term term = activation_part(label, part, {.layers = 1, .whole = count, .waiting = 0}, true);
    term.formula = fmt::format("{} per micro-batch x {} in flight", format_bytes(part), count);
    children.push_back(std::move(term));
  };
  add("head", bytes.head, held.heads + held.heads_waiting);
  add("multi-token prediction", bytes.prediction, held.heads);
  add("multi-token prediction, waiting", bytes.prediction_waiting, held.heads_waiting);
  std::erase_if(children, [](const Term& term) { return term.value <= 0; });
  return sum_term("activations", "B", std::move(children));
}

}  // namespace tera::plan
