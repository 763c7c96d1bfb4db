// Bytes that live within a step: what forward keeps for backward, and what comes and goes.
#pragma once
#include <cstdint>

#include "core/plan/param_groups.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Tokens of the logits that exist at once: the head works through the micro-batch in chunks.
inline constexpr std::int64_t kLogitsChunkTokens = 256;

// Of one micro-batch on one rank.
struct LayerBytes {
  double attention = 0;
  double feed_forward = 0;
  double experts = 0;
  double waiting = 0;     // for the gradients of the weights, once that of the input is there
  double everything = 0;  // what it keeps when nothing is recomputed
  double whole() const { return attention + feed_forward + experts; }
};
struct ActivationBytes {
  LayerBytes dense, moe;  // of one layer
  double head = 0;
  double prediction = 0;
};

ActivationBytes activation_bytes(const spec::RunSpec& spec);
// At the moment when the order of the stage holds most.
Term activations(const spec::RunSpec& spec,
                 const ActivationBytes& bytes,
                 int stage,
                 const StageOrder& order);

// The update follows the passes, when their workspace is free again: the larger of both.
// weight_bytes: of the stage, before ZeRO. update_bytes: the most that one tensor's update takes.
Term workspace(const spec::RunSpec& spec,
               const ActivationBytes& bytes,
               const StageParts& parts,
               double weight_bytes,
               double update_bytes);

}  // namespace tera::plan
