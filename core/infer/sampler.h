// Sampler: one token from a row of logits, as a function of (logits, options, seed, position)
// alone.
#pragma once
#include <cstdint>
#include <span>

#include "core/infer/generate.h"

namespace tera::infer {

struct Sampled {
  std::int32_t token = 0;
  double logprob = 0;  // natural log of its probability before temperature, top-k and top-p
};

// temperature 0 takes the largest logit; ties, here and in the order of top-k and top-p, go to the
// lowest id. Otherwise: softmax(logits / temperature), cut to the top_k most likely, cut to the
// smallest set whose probability reaches top_p, drawn with Philox(seed) at `position`.
// A logit that is not a number counts as impossible. Error (corrupt): no finite largest logit.
Result<Sampled> sample(std::span<const float> logits,
                       const SamplingOptions& options,
                       std::int64_t position);

}  // namespace tera::infer
