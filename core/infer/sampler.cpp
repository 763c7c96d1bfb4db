#include "core/infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "core/base/rng.h"

namespace tera::infer {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// A token that may still be drawn, with its weight exp((logit - largest) / temperature).
struct Candidate {
  std::int32_t token;
  double weight;
};

// Most likely first; equal ones by id.
bool before(const Candidate& a, const Candidate& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
}

double total_weight(const std::vector<Candidate>& candidates) {
  return std::accumulate(candidates.begin(), candidates.end(), 0.0,
                         [](double sum, const Candidate& c) { return sum + c.weight; });
}

void keep_top_k(std::vector<Candidate>& candidates, int top_k) {
  if (top_k <= 0 || std::ssize(candidates) <= top_k) return;
  std::nth_element(candidates.begin(), candidates.begin() + top_k, candidates.end(), before);
  candidates.resize(static_cast<std::size_t>(top_k));
}

// Keeps the smallest set of the most likely tokens whose probability reaches top_p, at least one.
void keep_top_p(std::vector<Candidate>& candidates, double top_p) {
  if (top_p >= 1.0) return;
  std::sort(candidates.begin(), candidates.end(), before);
  const double wanted = top_p * total_weight(candidates);
  double sum = 0;
  std::size_t kept = 0;
  while (kept < candidates.size() && (kept == 0 || sum < wanted))
    sum += candidates[kept++].weight;
  candidates.resize(kept);
}

std::int32_t draw(std::vector<Candidate> candidates, std::uint64_t seed, std::int64_t position) {
  // Drawn in order of id: the same number picks the same token whatever the cuts did to the order.
  std::sort(candidates.begin(), candidates.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  const auto words =
      Philox(seed, RngPurpose::sampling).words(static_cast<std::uint64_t>(position), 0);
  const double uniform =  // [0, 1), 53 bits
      (static_cast<double>(words[0] >> 5U) * 0x1.0p26 + static_cast<double>(words[1] >> 6U)) *
      0x1.0p-53;
  double left = uniform * total_weight(candidates);
  for (const Candidate& c : candidates) {
    left -= c.weight;
    if (left < 0) return c.token;
  }
  return candidates.back().token;  // rounding of the sum
}

}  // namespace

Result<Sampled> sample(std::span<const float> logits,
                       const SamplingOptions& options,
                       std::int64_t position) {
  double largest = kImpossible;
  std::int32_t best = -1;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (static_cast<double>(logits[i]) > largest) {
      largest = static_cast<double>(logits[i]);
      best = static_cast<std::int32_t>(i);
    }
  }
  if (best < 0 || !std::isfinite(largest)) {
    return fail(ErrorCode::corrupt,
                fmt::format("no finite largest logit among {} at position {}: the weights hold "
                            "infinities or are not numbers",
                            logits.size(), position),
                "take an earlier checkpoint");
  }

  double total = 0;  // sum of exp(logit - largest)
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double distance = static_cast<double>(logits[i]) - largest;
    if (std::isnan(distance)) continue;
    total += std::exp(distance);
    if (options.temperature > 0) {
      candidates.push_back(
          {static_cast<std::int32_t>(i), std::exp(distance / options.temperature)});
    }
  }
  Sampled sampled{.token = best};
  if (options.temperature > 0) {
    keep_top_k(candidates, options.top_k);
    keep_top_p(candidates, options.top_p);
    sampled.token = draw(std::move(candidates), options.seed, position);
  }
  sampled.logprob = static_cast<double>(logits[static_cast<std::size_t>(sampled.token)]) - largest -
                    std::log(total);
  return sampled;
}

}  // namespace tera::infer
