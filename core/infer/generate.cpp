#include "core/infer/generate.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "core/infer/sampler.h"

namespace tera::infer {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Passes on bytes in whole UTF-8 characters: a token may end inside one.
class PieceWriter {
 public:
  explicit PieceWriter(const std::function<bool(std::string_view)>& on_piece)
      : on_piece_(on_piece) {}

  bool write(std::string_view bytes) {
    pending_ += bytes;
    return pass_on(pending_.size() - unfinished(pending_));
  }
  // The rest, whole or not.
  void flush() { pass_on(pending_.size()); }

 private:
  bool pass_on(std::size_t count) {
    if (count == 0) return true;
    const std::string piece = pending_.substr(0, count);
    pending_.erase(0, count);
    return !on_piece_ || on_piece_(piece);
  }

  // Bytes at the end that begin a character and lack its rest.
  static std::size_t unfinished(std::string_view text) {
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
      const auto byte = static_cast<unsigned char>(text[text.size() - back]);
      if ((byte & 0xC0U) == 0x80U) continue;  // inside a character: look further back
      const std::size_t length = byte >= 0xF0U ? 4 : byte >= 0xE0U ? 3 : byte >= 0xC0U ? 2 : 1;
      return length > back ? back : 0;
    }
    return 0;
  }

  const std::function<bool(std::string_view)>& on_piece_;
  std::string pending_;
};

Result<std::vector<std::int32_t>> encode_prompt(const spec::ModelConfig& model,
                                                const data::Tokenizer& tokenizer,
                                                std::string_view prompt,
                                                const SamplingOptions& options) {
  if (tokenizer.vocab_size() > model.vocab_size) {
    return fail(ErrorCode::invalid_input,
                fmt::format("the tokenizer has {} tokens, the model {}", tokenizer.vocab_size(),
                            model.vocab_size),
                "use the tokenizer the model was trained with");
  }
  if (model.num_experts > 0 && model.router_choice == spec::RouterChoice::expert) {
    return fail(ErrorCode::invalid_input,
                "the model's experts choose their tokens, later ones too, so it cannot generate",
                "generate with a model whose router_choice is token");
  }
  if (options.max_tokens < 1 || !(options.temperature >= 0) || options.top_k < 0 ||
      !(options.top_p > 0)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("sampling with max_tokens {}, temperature {}, top_k {}, top_p {}",
                            options.max_tokens, options.temperature, options.top_k, options.top_p),
                "max_tokens is 1 or more, temperature and top_k 0 or more, top_p above 0");
  }
  std::vector<std::int32_t> tokens = tokenizer.encode(prompt);
  if (tokens.empty() && tokenizer.eod_id() >= 0) tokens.push_back(tokenizer.eod_id());
  if (tokens.empty()) {
    return fail(ErrorCode::invalid_input,
                "the prompt is empty, and the tokenizer has no <|endoftext|> to start from",
                "give a prompt");
  }
  const std::int64_t wanted = std::ssize(tokens) + options.max_tokens;
  if (wanted > model.max_position_embeddings) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} tokens of prompt and {} new ones exceed the context of {} tokens",
                            tokens.size(), options.max_tokens, model.max_position_embeddings),
                "shorten the prompt or lower --max-tokens");
  }
  return tokens;
}

}  // namespace

Result<Generated> generate(nn::Model& model,
                           const data::Tokenizer& tokenizer,
                           std::string_view prompt,
                           const SamplingOptions& options,
                           const std::function<bool(std::string_view piece)>& on_piece) {
  TERA_TRY(const std::vector<std::int32_t> prompt_tokens,
           encode_prompt(model.config(), tokenizer, prompt, options));
  Generated generated;
  generated.prompt_tokens = static_cast<int>(prompt_tokens.size());
  // The last token drawn is never fed back.
  nn::KvCache cache = model.make_cache(generated.prompt_tokens + options.max_tokens - 1);
  Clock::time_point start = Clock::now();
  Tensor logits = model.decode(prompt_tokens, cache, true);  // [1, V]
  generated.prefill_s = seconds_since(start);

  start = Clock::now();
  PieceWriter pieces(on_piece);
  bool stopped = false;
  for (;;) {
    // Rows beyond the tokenizer's are padding of the vocabulary.
    const std::span<const float> row(logits.data<const float>(),
                                     static_cast<std::size_t>(tokenizer.vocab_size()));
    const std::int64_t position = std::ssize(prompt_tokens) + std::ssize(generated.tokens);
    TERA_TRY(const Sampled next, sample(row, options, position));
    if (next.token == tokenizer.eod_id()) {
      generated.ended = true;
      break;
    }
    generated.tokens.push_back(next.token);
    generated.logprobs.push_back(next.logprob);
    const std::string_view bytes = tokenizer.token_bytes(next.token);
    generated.text += bytes;
    stopped = !pieces.write(bytes);
    if (stopped || std::ssize(generated.tokens) == options.max_tokens) break;
    logits = model.decode({&next.token, 1}, cache, true);
  }
  if (!stopped) pieces.flush();
  generated.decode_s = seconds_since(start);
  return generated;
}

}  // namespace tera::infer
