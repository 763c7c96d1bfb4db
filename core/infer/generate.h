// Text from a model, token by token, with a key-value cache: several prompts at once.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fields.h"
#include "core/base/result.h"
#include "core/data/tokenizer.h"
#include "core/infer/sampler.h"
#include "core/nn/model.h"
#include "core/tensor/backend.h"

namespace tera::infer {

// Prompts of one call: no more than the rows of a product that do not depend on each other, so the
// text of a prompt does not depend on the others.
inline constexpr int kMaxPrompts = kernels::kFewRows;

struct Prompt {
  std::vector<std::int32_t> tokens;
  std::uint64_t seed = 0;  // of its own random numbers
};
// The text as a prompt, behind what its tokenizer puts before texts; an empty one without that is
// the token that a text begins after. Error (invalid_input): there is no token to start from.
Result<Prompt> make_prompt(const data::Tokenizer& tokenizer,
                           std::string_view text,
                           std::uint64_t seed);

struct GenerateOptions {
  int max_tokens = 64;
  SamplingOptions sampling = {};
  std::vector<std::string> stops = {};  // the text ends before the first of these
  // Tokens that end a text besides the tokenizer's: what is known of them without one.
  std::vector<std::int32_t> end_tokens = {};
  int num_alternatives = 0;  // most likely tokens reported for each place
  bool with_experts = false;
};

// Why a text ends.
enum class Finish : std::uint8_t { end_of_document, stop, max_tokens, interrupted };

struct TokenLogprob {
  std::int32_t token = 0;
  double logprob = 0;  // natural log of its probability, before penalties, temperature and cuts
};

struct Generated {
  std::string text;  // of the new tokens, valid UTF-8, up to a stop string
  std::vector<TokenLogprob> tokens;
  std::vector<std::vector<TokenLogprob>> alternatives;  // of each place, the most likely first
  // Of each token that went through the model: the prompt's and the new ones but the last; by
  // layer.
  std::vector<std::vector<nn::ExpertChoices>> experts;
  Finish finish = Finish::max_tokens;
  int prompt_tokens = 0;
};
struct Generation {
  std::vector<Generated> texts;  // one per prompt
  double prefill_s = 0;          // of the prompts
  double decode_s = 0;
};

struct GenerateEvents {
  std::function<void(int prompt, std::string_view piece)> on_piece = {};  // whole characters
  std::function<bool()> keep_going = {};  // asked between tokens; false ends all texts as they are
};

// tokenizer: null when only ids are wanted; texts are empty then and have no stop strings. Errors
// (invalid_input): options out of range; another tokenizer; a prompt that is empty, has ids
// outside the vocabulary or does not fit the context with max_tokens more, by its number, from 1,
// when there are several.
Result<void> check_prompts(const nn::Model& model,
                           const data::Tokenizer* tokenizer,
                           std::span<const Prompt> prompts,
                           const GenerateOptions& options);

// 1 to kMaxPrompts prompts. Errors: those of check_prompts; corrupt when weights are not numbers.
Result<Generation> generate(nn::Model& model,
                            const data::Tokenizer* tokenizer,
                            std::span<const Prompt> prompts,
                            const GenerateOptions& options,
                            const GenerateEvents& events = {});

// An error (invalid_input) for models that cannot go on with a text token by token.
Result<void> check_can_decode(const spec::ModelConfig& model);
// Ids that texts may consist of: the tokenizer's, without one the model's.
std::int32_t vocabulary_of(const nn::Model& model, const data::Tokenizer* tokenizer);
// The tokenizer and the model belong together, as far as their sizes tell.
Result<void> check_vocabulary(const spec::ModelConfig& model, const data::Tokenizer& tokenizer);

}  // namespace tera::infer

namespace tera {
template <>
struct EnumNames<infer::Finish> {
  static constexpr std::array<std::string_view, 4> value = {"end_of_document", "stop", "max_tokens",
                                                            "interrupted"};
};
}  // namespace tera
