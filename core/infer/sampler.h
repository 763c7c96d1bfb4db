// Sampler: one token from a row of logits, as a function of (logits, options, seed, position)
// alone.
#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/base/result.h"

namespace tera::infer {

struct SamplingOptions {
  double temperature = 0.8;  // 0 = most likely token
  int top_k = 0;             // the k most likely; 0 = all
  double top_p = 1.0;        // the smallest set of this probability
  double min_p = 0;          // those at least this share as likely as the most likely
  // On tokens that were there before; 1, 0 and 0 change nothing. Sources: Keskar et al. 2019, CTRL,
  // section 4.1 (repetition, of prompt and text: positive logits are divided by it, others
  // multiplied); OpenAI API reference (presence and frequency, of the text: subtracted once, and
  // for each time).
  double repetition_penalty = 1.0;
  double presence_penalty = 0;
  double frequency_penalty = 0;
};
// Error (invalid_input) that names the first option out of its range.
Result<void> check_sampling(const SamplingOptions& options);

// The tokens of a sequence so far, for the penalties.
class TokenHistory {
 public:
  void add_prompt(std::span<const std::int32_t> tokens);
  void add(std::int32_t token);
  // Lowers the logits of tokens that were there, those whose ids the row has.
  void penalise(std::span<float> logits, const SamplingOptions& options) const;

 private:
  std::unordered_map<std::int32_t, int> times_;  // in the text; 0: in the prompt alone
};

// A token that may still be drawn, with its weight exp((logit - largest) / temperature).
struct Candidate {
  std::int32_t token;
  double weight;
};

// temperature 0 takes the largest logit; ties, here and in the order of the cuts, go to the lowest
// id. Otherwise: softmax(logits / temperature), cut to top_k, then top_p, then min_p, each of what
// the one before left, drawn with Philox(seed) at `position`. Penalties are not applied here.
// candidates: memory that one call may leave to the next; what is in it does not matter.
// Error (corrupt): a logit is not a number, or the largest is not finite.
Result<std::int32_t> sample(std::span<const float> logits,
                            const SamplingOptions& options,
                            std::uint64_t seed,
                            std::int64_t position,
                            std::vector<Candidate>& candidates);

}  // namespace tera::infer
