// Bytes that live within a step: what forward keeps for backward, and what comes and goes.
#pragma once
#include <cstdint>

#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Tokens of the logits that exist at once: the head works through the micro-batch in chunks.
inline constexpr std::int64_t kLogitsChunkTokens = 256;

// in_flight: micro-batches the stage holds at most.
Term activations(const spec::RunSpec& spec, int stage, int in_flight);

// The update follows the passes, when their workspace is free again: the larger of both.
// weight_bytes: of the stage, before ZeRO. update_bytes: the most that one tensor's update takes.
Term workspace(const spec::RunSpec& spec, int stage, double weight_bytes, double update_bytes);

}  // namespace tera::plan
