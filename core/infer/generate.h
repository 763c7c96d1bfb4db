// Text from a checkpoint, token by token, with a key-value cache.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/tokenizer.h"
#include "core/nn/model.h"

namespace tera::infer {

struct SamplingOptions {
  int max_tokens = 64;
  double temperature = 0.8;  // 0 = most likely token
  int top_k = 0;             // 0 = all
  double top_p = 1.0;
  std::uint64_t seed = 0;
};
struct Generated {
  std::string text;  // of the new tokens
  std::vector<std::int32_t> tokens;
  std::vector<double> logprobs;  // natural log, of the chosen token before temperature
  bool ended = false;            // the end-of-document token came
  int prompt_tokens = 0;
  double prefill_s = 0, decode_s = 0;
};
// Errors: empty prompt after encoding without a start token, prompt and max_tokens beyond the
// context.
Result<Generated> generate(
    nn::Model& model,
    const data::Tokenizer& tokenizer,
    std::string_view prompt,
    const SamplingOptions& options,
    const std::function<bool(std::string_view piece)>& on_piece);  // false stops

}  // namespace tera::infer
