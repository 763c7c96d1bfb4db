#include "core/infer/encode_pair.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <fmt/format.h>

namespace tera::infer {

Result<EncodedPair> encode_pair(const data::Tokenizer& tokenizer,
                                std::string context,
                                std::string continuation) {
  std::size_t end = context.size();
  while (end > 0 && std::isspace(static_cast<unsigned char>(context[end - 1])) != 0)
    --end;
  continuation.insert(0, context.substr(end));
  context.resize(end);
  EncodedPair pair;
  if (context.empty()) {
    const std::int32_t start = tokenizer.start_id();
    if (start < 0) {
      return fail(
          ErrorCode::invalid_input,
          "the context is empty, and the tokenizer names no token that begins or ends texts",
          "name it as bos_token in a tokenizer_config.json beside tokenizer.json");
    }
    pair = {{start}, tokenizer.encode(continuation)};
    // A continuation that begins with it already is not given it twice.
    if (!pair.continuation.empty() && pair.continuation.front() == start)
      pair.continuation.erase(pair.continuation.begin());
  } else {
    pair.context = tokenizer.encode(context);
    const std::vector<std::int32_t> whole = tokenizer.encode(context + continuation);
    const std::size_t own = std::min(pair.context.size(), whole.size());
    pair.continuation.assign(whole.begin() + static_cast<std::ptrdiff_t>(own), whole.end());
  }
  if (!pair.continuation.empty()) return pair;
  return fail(ErrorCode::invalid_input,
              fmt::format("\"{}\" adds no token to what stands before it", continuation),
              "give it more text");
}

std::vector<EncodedPair> rolling_windows(std::span<const std::int32_t> tokens,
                                         std::int32_t start,
                                         int max_length) {
  std::vector<EncodedPair> windows;
  const auto most = static_cast<std::size_t>(max_length);
  for (std::size_t begin = 0; begin < tokens.size(); begin += most) {
    const std::size_t end = std::min(tokens.size(), begin + most);
    EncodedPair window;
    window.continuation.assign(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                               tokens.begin() + static_cast<std::ptrdiff_t>(end));
    if (begin == 0) {
      window.context = {start};
    } else {
      const std::size_t first = end - most - 1;  // the whole window and the token before it
      window.context.assign(tokens.begin() + static_cast<std::ptrdiff_t>(first),
                            tokens.begin() + static_cast<std::ptrdiff_t>(begin));
    }
    windows.push_back(std::move(window));
  }
  return windows;
}

}  // namespace tera::infer
