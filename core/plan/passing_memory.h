// Bytes that come and go within a step, beside what forward keeps for backward: as numbers, and as
// terms that explain them.
#pragma once
#include <cstdint>
#include <vector>

#include "core/plan/constant.h"
#include "core/plan/param_groups.h"
#include "core/plan/term.h"
#include "core/plan/working_memory.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

inline constexpr Constant kMaxLiveParams{"live parameters of ZeRO-3", 1e9, "parameters", false,
                                         "DeepSpeed documentation: stage3_max_live_parameters 1e9"};
inline constexpr Constant kGradientBucket{
    "bucket of gradients", 5e8, "parameters", false,
    "DeepSpeed documentation: reduce_bucket_size and allgather_bucket_size 5e8"};

// At the moment when they are most together; what is not there then is 0.
struct PassingBytes {
  double logits = 0;
  double dispatch = 0;         // rows sent to experts and received
  double gathered_layers = 0;  // that ZeRO 3 has together
  double layer_gradients = 0;
  double recomputed_layer = 0;
  double placeholders = 0;  // for gradients that are added elsewhere
  double context = 0;       // of attention, between context ranks
  double update = 0;        // of the tensor that needs the most; follows the passes
  double workspace() const {
    return layer_gradients + recomputed_layer + placeholders + context + update;
  }
  double total() const { return logits + dispatch + gathered_layers + workspace(); }
};
PassingBytes passing_bytes(const spec::RunSpec& spec,
                           const ActivationBytes& bytes,
                           const StageParts& parts,
                           const ParamGroups& groups);

// logits, dispatch, gathered layers and workspace, with their formulas.
std::vector<Term> passing_terms(const spec::RunSpec& spec,
                                const ActivationBytes& activation,
                                const StageParts& parts,
                                const ParamGroups& groups,
                                const PassingBytes& bytes);

}  // namespace tera::plan
