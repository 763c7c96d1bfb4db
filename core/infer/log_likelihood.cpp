#include "core/infer/log_likelihood.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/nn/token_losses.h"

namespace tera::infer {
namespace {

// Rows of logits at a time: 50,257 words x 256 rows are 51 MB.
constexpr std::size_t kLogitRows = 256;

std::size_t index(std::int64_t i) {
  return static_cast<std::size_t>(i);
}

}  // namespace

std::vector<Likelihood> LikelihoodScorer::score(
    std::span<const std::int32_t> context,
    std::span<const std::vector<std::int32_t>> continuations) {
  TERA_CHECK(!context.empty(), "a likelihood without context has no first token");
  std::vector<Likelihood> scores(continuations.size());
  std::vector<const std::vector<std::int32_t>*> together;
  std::vector<std::size_t> places;
  for (std::size_t c = 0; c < continuations.size(); ++c) {
    TERA_CHECK(!continuations[c].empty(), "continuation {} is empty", c);
    if (context.size() + continuations[c].size() > index(max_length()) + 1) {
      scores[c] = score_one(context, continuations[c]);
    } else {
      together.push_back(&continuations[c]);
      places.push_back(c);
    }
  }
  std::vector<Likelihood> found(together.size());
  if (!together.empty()) score_together(context, together, found);
  for (std::size_t i = 0; i < places.size(); ++i)
    scores[places[i]] = found[i];
  return scores;
}

// With its own shorter context.
Likelihood LikelihoodScorer::score_one(Tokens context,
                                       const std::vector<std::int32_t>& continuation) {
  TERA_CHECK(std::ssize(continuation) <= max_length(),
             "a continuation of {} tokens, the model reads {}", continuation.size(), max_length());
  const std::size_t kept = index(max_length()) + 1 - continuation.size();
  const std::vector<std::int32_t>* one = &continuation;
  Likelihood score;
  score_together(context.subspan(context.size() - kept), {&one, 1}, {&score, 1});
  return score;
}

// The context once, then pieces of all continuations at once, shorter ones filled up behind their
// end. A continuation's last token is never fed.
void LikelihoodScorer::score_together(
    Tokens context,
    std::span<const std::vector<std::int32_t>* const> continuations,
    std::span<Likelihood> scores) {
  const std::size_t count = continuations.size();
  std::size_t longest = 0;
  for (const auto* tokens : continuations)
    longest = std::max(longest, tokens->size());
  nn::KvCache cache = model_->make_cache(static_cast<int>(context.size() + longest - 1),
                                         std::vector<int>(count, 0));
  const Tensor first = model_->decode(context, cache, {.last_only = true});  // [1, V]
  for (std::size_t c = 0; c < count; ++c) {
    scores[c] = {.logprob = 0, .greedy = true};
    add(first, {&continuations[c]->front(), 1}, 1, scores.subspan(c, 1));
    if (c > 0) cache.copy(0, static_cast<int>(c));
  }
  const std::size_t piece = std::max<std::size_t>(1, kLogitRows / count);
  for (std::size_t begin = 0; begin + 1 < longest; begin += piece) {
    const std::size_t end = std::min(longest - 1, begin + piece);
    std::vector<std::int32_t> fed;
    std::vector<std::int32_t> targets;  // -1: behind the end
    for (const auto* tokens : continuations) {
      for (std::size_t i = begin; i < end; ++i) {
        fed.push_back((*tokens)[std::min(i, tokens->size() - 1)]);
        targets.push_back(i + 1 < tokens->size() ? (*tokens)[i + 1] : -1);
      }
    }
    const Tensor logits = model_->decode(
        fed, cache, {.sequences = {0, static_cast<int>(count)}});  // [count, piece, V]
    add(logits, targets, static_cast<std::int64_t>(end - begin), scores);
  }
}

// Adds the rows of each score: `targets` has one per row, -1 for none.
void LikelihoodScorer::add(const Tensor& logits,
                           std::span<const std::int32_t> targets,
                           std::int64_t rows_per_score,
                           std::span<Likelihood> scores) {
  Backend& backend = logits.backend();
  const std::int64_t rows = logits.dim(0);
  const std::int64_t width = logits.dim(1);
  const Tensor wanted = Tensor::empty(backend, {rows}, DType::i32, MemoryKind::workspace);
  std::copy(targets.begin(), targets.end(), wanted.data<std::int32_t>());
  std::vector<char> greedy(index(rows));
  backend.context().executor->parallel_for(rows, [&](std::int64_t row, int /*worker*/) {
    float* at = logits.data<float>() + row * width;
    std::fill(at + vocabulary_, at + width, -std::numeric_limits<float>::infinity());
    const float* best = std::max_element(at, at + vocabulary_);
    greedy[index(row)] = best - at == targets[index(row)] ? 1 : 0;
  });
  const nn::TokenLosses losses(logits, wanted);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (targets[index(row)] < 0) continue;
    Likelihood& score = scores[index(row / rows_per_score)];
    score.logprob -= losses.loss(row);
    score.greedy = score.greedy && greedy[index(row)] != 0;
  }
}

}  // namespace tera::infer
