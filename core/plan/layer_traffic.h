// Bytes of a layer's operations that only pass over memory: norms, rotary, activations, residual
// sums, routing and permutation of tokens.
#pragma once
#include "core/plan/fitted_times.h"
#include "core/plan/rank_rates.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Whether neighbouring elementwise operations, and those of the update, run as one: compiled, or by
// the kernels of Megatron-LM and what follows it (Narayanan et al. 2021, section 4.2: bias and
// GeLU; bias, dropout and sum; scale, mask and softmax; Apex's FusedAdam).
bool fuses_elementwise(const spec::SoftwareConfig& software);

// Megatron-LM drops what latent attention makes of its latent vectors (mla_up_proj).
bool repeats_latent_up(const spec::RunSpec& spec);

// Norms of the residual stream in a layer.
int num_residual_norms(const spec::ModelConfig& model);

// Forward, on one rank and micro-batch.
struct StreamedBytes {
  double all = 0;
  double experts = 0;  // of these, for rows on their way through experts
  double cheap = 0;    // of these, for outputs of norms and activations
};
StreamedBytes streamed_bytes(const spec::RunSpec& spec,
                             const RankRates& rates,
                             const FittedTimes& fitted,
                             bool moe);

}  // namespace tera::plan
