#include "core/infer/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include <fmt/format.h>

#include "core/base/rng.h"

namespace tera::infer {
namespace {

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

void keep_min_p(std::vector<Candidate>& candidates, double min_p) {
  if (min_p <= 0) return;
  double most = 0;
  for (const Candidate& c : candidates)
    most = std::max(most, c.weight);
  std::erase_if(candidates, [&](const Candidate& c) { return c.weight < min_p * most; });
}

std::int32_t draw(std::vector<Candidate>& candidates, std::uint64_t seed, std::int64_t position) {
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

// The largest of several at a time, which the compiler makes vectors of; nothing when one is not a
// number.
std::optional<float> largest_of(std::span<const float> logits) {
  constexpr std::size_t kLanes = 16;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  std::array<float, kLanes> most;
  std::array<std::int32_t, kLanes> numbers;
  most.fill(kLowest);
  numbers.fill(1);
  std::size_t begin = 0;
  for (; begin + kLanes <= logits.size(); begin += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float x = logits[begin + lane];
      most[lane] = x > most[lane] ? x : most[lane];
      numbers[lane] &= x == x ? 1 : 0;
    }
  }
  float largest = kLowest;
  bool all_numbers = true;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    largest = std::max(largest, most[lane]);
    all_numbers = all_numbers && numbers[lane] != 0;
  }
  for (; begin < logits.size(); ++begin) {
    all_numbers = all_numbers && !std::isnan(logits[begin]);
    largest = std::max(largest, logits[begin]);
  }
  if (!all_numbers) return std::nullopt;
  return largest;
}

// What top_k leaves.
void find_candidates(std::span<const float> logits,
                     float largest,
                     const SamplingOptions& options,
                     std::vector<Candidate>& candidates) {
  candidates.clear();
  candidates.reserve(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i)  // the weight is still a distance
    candidates.push_back({static_cast<std::int32_t>(i), double{logits[i]} - double{largest}});
  keep_top_k(candidates, options.top_k);
  for (Candidate& c : candidates)
    c.weight = std::exp(c.weight / options.temperature);
}

Result<void> expect(bool holds, const char* name, double value, const char* range) {
  if (holds) return {};
  return fail(ErrorCode::invalid_input,
              fmt::format("sampling: {} is {}, expected {}", name, value, range),
              "see `teragpt generate --help`");
}

}  // namespace

Result<void> check_sampling(const SamplingOptions& o) {
  const auto within = [](double value, double low, double high) {
    return value >= low && value <= high;  // false for NaN
  };
  constexpr double kAny = std::numeric_limits<double>::max();
  TERA_TRY_VOID(expect(within(o.temperature, 0, kAny), "temperature", o.temperature, "0 or more"));
  TERA_TRY_VOID(expect(o.top_k >= 0, "top_k", o.top_k, "0 or more"));
  TERA_TRY_VOID(
      expect(o.top_p > 0 && within(o.top_p, 0, 1), "top_p", o.top_p, "above 0, at most 1"));
  TERA_TRY_VOID(expect(within(o.min_p, 0, 1), "min_p", o.min_p, "0 to 1"));
  TERA_TRY_VOID(expect(o.repetition_penalty > 0 && within(o.repetition_penalty, 0, kAny),
                       "repetition_penalty", o.repetition_penalty, "above 0"));
  TERA_TRY_VOID(expect(within(o.presence_penalty, -100, 100), "presence_penalty",
                       o.presence_penalty, "-100 to 100"));
  return expect(within(o.frequency_penalty, -100, 100), "frequency_penalty", o.frequency_penalty,
                "-100 to 100");
}

void TokenHistory::add_prompt(std::span<const std::int32_t> tokens) {
  for (const std::int32_t token : tokens)
    times_.emplace(token, 0);
}

void TokenHistory::add(std::int32_t token) {
  ++times_[token];
}

void TokenHistory::penalise(std::span<float> logits, const SamplingOptions& options) const {
  const auto factor = static_cast<float>(options.repetition_penalty);
  const auto presence = static_cast<float>(options.presence_penalty);
  const auto frequency = static_cast<float>(options.frequency_penalty);
  for (const auto& [token, times] : times_) {
    if (token >= std::ssize(logits)) continue;
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / factor : logit * factor;
    if (times > 0) logit -= presence + frequency * static_cast<float>(times);
  }
}

Result<std::int32_t> sample(std::span<const float> logits,
                            const SamplingOptions& options,
                            std::uint64_t seed,
                            std::int64_t position,
                            std::vector<Candidate>& candidates) {
  const std::optional<float> largest = largest_of(logits);
  if (!largest || !std::isfinite(*largest)) {
    return fail(ErrorCode::corrupt,
                fmt::format("no finite largest logit among {} at position {}: the weights hold "
                            "infinities or are not numbers",
                            logits.size(), position),
                "take an earlier checkpoint");
  }
  if (options.temperature == 0) {
    return static_cast<std::int32_t>(std::find(logits.begin(), logits.end(), *largest) -
                                     logits.begin());
  }
  find_candidates(logits, *largest, options, candidates);
  keep_top_p(candidates, options.top_p);
  keep_min_p(candidates, options.min_p);
  return draw(candidates, seed, position);
}

}  // namespace tera::infer
