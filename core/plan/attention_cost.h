// Seconds of scores, softmax and weighted values of one layer on one rank and micro-batch.
#pragma once
#include "core/plan/time_constants.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Tokens a token attends to on average: half of the sequence, or what a sliding window leaves.
double mean_tokens_seen(const spec::ModelConfig& model, int seq_length);

// What a rank has for it.
struct AttentionRates {
  double tokens = 0;              // T: of one micro-batch on one context rank
  double peak_flops_per_s = 0;    // of the run's precision
  double memory_bytes_per_s = 0;  // reached
  double element_bytes = 2;       // of a score
  double operand_cost = kOperandCost.value;
};
struct AttentionSeconds {
  double forward = 0;
  double backward = 0;
};
// Fused: causal flops by the reached speed; backward is five products of the forward's two, scores
// being computed again (Dao 2023). Stored: both products over the whole square, and every pass over
// the [s, s] scores of each head: product, softmax, dropout, product. Korthikanti et al. 2022.
AttentionSeconds attention_seconds(const spec::RunSpec& spec, const AttentionRates& rates);

}  // namespace tera::plan
