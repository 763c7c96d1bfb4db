// What generation refuses before the first token.
#include <algorithm>

#include <fmt/format.h>

#include "core/infer/generate.h"

namespace tera::infer {
namespace {

Result<void> check_options(const spec::ModelConfig& config,
                           bool with_text,
                           const GenerateOptions& options) {
  TERA_TRY_VOID(check_sampling(options.sampling));
  if (options.max_tokens < 1 || options.num_alternatives < 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("generation with max_tokens {} and {} alternatives", options.max_tokens,
                            options.num_alternatives),
                "max_tokens is 1 or more, alternatives 0 or more");
  }
  if (std::find(options.stops.begin(), options.stops.end(), "") != options.stops.end()) {
    return fail(ErrorCode::invalid_input, "a stop string is empty: it would end every text at once",
                "leave it away, or give the text to stop before");
  }
  if (!with_text && !options.stops.empty()) {
    return fail(ErrorCode::invalid_input, "stop strings without a tokenizer: there is no text",
                "leave --stop away");
  }
  if (options.with_experts && config.num_experts == 0) {
    return fail(ErrorCode::invalid_input, "the model is dense: it has no experts to report",
                "leave --experts away");
  }
  return {};
}

Result<void> check_prompt(const Prompt& prompt,
                          const std::string& which,
                          std::int32_t vocabulary,
                          int context,
                          int max_tokens) {
  if (prompt.tokens.empty()) {
    return fail(ErrorCode::invalid_input, fmt::format("{} is empty", which), "give a prompt");
  }
  for (std::size_t i = 0; i < prompt.tokens.size(); ++i) {
    const std::int32_t token = prompt.tokens[i];
    if (token >= 0 && token < vocabulary) continue;
    return fail(
        ErrorCode::invalid_input,
        fmt::format("{}: token {} is {}, expected 0 to {}", which, i + 1, token, vocabulary - 1),
        "the ids belong to another tokenizer");
  }
  if (std::ssize(prompt.tokens) + max_tokens > context) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} has {} tokens: with {} new ones they exceed the context of {}",
                            which, prompt.tokens.size(), max_tokens, context),
                std::ssize(prompt.tokens) < context ? "shorten the prompt or lower --max-tokens"
                                                    : "shorten the prompt");
  }
  return {};
}

}  // namespace

std::int32_t vocabulary_of(const nn::Model& model, const data::Tokenizer* tokenizer) {
  return tokenizer != nullptr ? tokenizer->vocab_size() : model.config().vocab_size;
}

Result<Prompt> make_prompt(const data::Tokenizer& tokenizer,
                           std::string_view text,
                           std::uint64_t seed) {
  Prompt prompt{.tokens = tokenizer.beginning(), .seed = seed};
  const std::vector<std::int32_t> ids = tokenizer.encode(text);
  prompt.tokens.insert(prompt.tokens.end(), ids.begin(), ids.end());
  if (prompt.tokens.empty() && tokenizer.start_id() >= 0)
    prompt.tokens.push_back(tokenizer.start_id());
  if (prompt.tokens.empty()) {
    return fail(ErrorCode::invalid_input,
                "the prompt is empty, and the tokenizer names no token that begins or ends texts",
                "give a prompt");
  }
  return prompt;
}

Result<void> check_can_decode(const spec::ModelConfig& model) {
  if (model.num_experts == 0 || model.router_choice == spec::RouterChoice::token) return {};
  return fail(
      ErrorCode::invalid_input,
      "the model's experts choose their tokens, later ones too: it cannot read a text token "
      "by token",
      "generation, tasks and logits need a model whose router_choice is token");
}

Result<void> check_vocabulary(const spec::ModelConfig& model, const data::Tokenizer& tokenizer) {
  if (tokenizer.vocab_size() <= model.vocab_size) return {};
  return fail(ErrorCode::invalid_input,
              fmt::format("the tokenizer has {} tokens, the model {}", tokenizer.vocab_size(),
                          model.vocab_size),
              "use the tokenizer the model was trained with");
}

Result<void> check_prompts(const nn::Model& model,
                           const data::Tokenizer* tokenizer,
                           std::span<const Prompt> prompts,
                           const GenerateOptions& options) {
  if (tokenizer != nullptr) TERA_TRY_VOID(check_vocabulary(model.config(), *tokenizer));
  TERA_TRY_VOID(check_can_decode(model.config()));
  TERA_TRY_VOID(check_options(model.config(), tokenizer != nullptr, options));
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::string which = prompts.size() == 1 ? "the prompt" : fmt::format("prompt {}", i + 1);
    TERA_TRY_VOID(check_prompt(prompts[i], which, vocabulary_of(model, tokenizer),
                               model.config().max_position_embeddings, options.max_tokens));
  }
  return {};
}

}  // namespace tera::infer
