// Texts as tokens to score: what stands before, and what is predicted.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/data/tokenizer.h"

namespace tera::infer {

// Context and continuation as tokens: spaces at the end of the context go over to the continuation,
// both are encoded together, and what is longer than the context alone is the continuation. An
// empty context is the token that begins texts, else the one that ends them. Error (invalid_input):
// nothing to predict, or no such token.
struct EncodedPair {
  std::vector<std::int32_t> context;
  std::vector<std::int32_t> continuation;
};
Result<EncodedPair> encode_pair(const data::Tokenizer& tokenizer,
                                std::string context,
                                std::string continuation);

// Parts of a long text, each predicted once: the first after `start`, the next after the last token
// of the one before, the last one with as much before it as the model reads.
std::vector<EncodedPair> rolling_windows(std::span<const std::int32_t> tokens,
                                         std::int32_t start,
                                         int max_length);

}  // namespace tera::infer
