// What forward keeps for backward: as numbers, and as terms that explain them. What comes and goes
// beside it is in passing_memory.h.
#pragma once
#include <cstdint>

#include "core/plan/param_groups.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/schedule_check.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Tokens of the logits that exist at once: TeraGPT's head works through the micro-batch in chunks.
inline constexpr std::int64_t kLogitsChunkTokens = 256;

// Of one micro-batch on one rank.
struct LayerBytes {
  double attention = 0;
  double feed_forward = 0;
  double experts = 0;
  double waiting = 0;     // for the gradients of the weights, once that of the input is there
  double everything = 0;  // what it keeps when nothing is recomputed
  double whole() const { return attention + feed_forward + experts; }
  double recomputed() const { return everything - whole(); }  // there again in its backward
};
struct ActivationBytes {
  LayerBytes dense, moe;  // of one layer
  double head = 0;
  double prediction = 0;
  double prediction_waiting = 0;  // as of a layer
  double between_stages = 0;      // kept by the pipeline itself, for each chunk and micro-batch
  double expert_load = 1;         // rows of the busiest expert-parallel rank over the mean
};

// At the load of layout.expert_load_percentile.
ActivationBytes activation_bytes(const spec::RunSpec& spec);

// Layers of one kind on a stage, times the micro-batches that each holds.
struct HeldOfKind {
  int layers = 0;
  std::int64_t whole = 0;
  std::int64_t waiting = 0;
};
struct HeldLayers {
  HeldOfKind dense, moe;
  std::int64_t heads = 0;
  std::int64_t heads_waiting = 0;
  std::int64_t chunks = 0;  // times micro-batches
};
// Adds what a chunk of a stage holds.
void add_held(HeldLayers& held, const ChunkStash& stash, const LayerMix& layers, bool has_head);
// At the moment when the order of the stage holds most.
HeldLayers held_at_peak(const spec::RunSpec& spec,
                        const ActivationBytes& bytes,
                        int stage,
                        const StageOrder& order);
double held_bytes(const ActivationBytes& bytes, const HeldLayers& held);
Term activations(const ActivationBytes& bytes, const HeldLayers& held, bool one_chunk);

}  // namespace tera::plan
