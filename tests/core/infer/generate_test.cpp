#include "core/infer/generate.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/infer/test_models.h"

namespace tera::infer {
namespace {

using test::byte_tokenizer;
using test::kEndOfDocument;
using test::kNumTokens;
using test::RandomModel;

spec::ModelConfig chain_config(int padded_vocabulary) {
  spec::ModelConfig c;
  c.num_layers = 1;
  c.hidden_size = kNumTokens;
  c.num_attention_heads = 1;
  c.num_key_value_heads = 1;
  c.head_dim = 2;
  c.ffn_hidden_size = 2;
  c.vocab_size = padded_vocabulary;
  c.max_position_embeddings = 40;
  return c;
}

// A model that says `text` (of distinct bytes) and ends, by weights: a token's vector is a unit
// vector, the branches add nothing, and the head answers each with its follower.
class ChainModel {
 public:
  explicit ChainModel(const std::string& text, int padded_vocabulary = kNumTokens)
      : config_(chain_config(padded_vocabulary)),
        params_(*backend_, plan::make_param_table(config_), {.gradients = false}),
        model_(config_, params_) {
    float* norm = params_.get("final_norm.weight").value.data<float>();
    std::fill(norm, norm + kNumTokens, 1.0F);
    for (std::int32_t token = 0; token < kNumTokens; ++token)
      at("embedding.tokens", token, token) = 1.0F;
    std::int32_t before = kEndOfDocument;
    for (const char c : text) {
      follow(before, static_cast<unsigned char>(c));
      before = static_cast<unsigned char>(c);
    }
    follow(before, kEndOfDocument);
    for (int row = kNumTokens; row < padded_vocabulary; ++row) {  // padding that must not be drawn
      for (std::int32_t token = 0; token < kNumTokens; ++token)
        at("head.weight", row, token) = 9.0F;
    }
  }

  nn::Model& model() { return model_; }
  float& at(const char* name, std::int64_t row, std::int64_t column) {
    return params_.get(name).value.data<float>()[row * kNumTokens + column];
  }

 private:
  void follow(std::int32_t token, std::int32_t next) { at("head.weight", next, token) = 2.0F; }

  ThreadPool pool_{1};
  std::unique_ptr<Backend> backend_ = make_cpu_backend(pool_, CpuOps::reference);
  spec::ModelConfig config_;
  nn::ParamStore params_;
  nn::Model model_;
};

const std::string kText =
    "h\xC3\xA9\x20\xE2\x82\xAC\xF0\x9D\x84\x9E!";  // "hé €𝄞!", all bytes distinct
const GenerateOptions kGreedy{.max_tokens = 30, .sampling = {.temperature = 0}};

Prompt prompt_of(std::string_view text, std::uint64_t seed = 0) {
  return make_prompt(byte_tokenizer(), text, seed).value();
}

Result<Generation> run_all(ChainModel& chain,
                           const std::vector<Prompt>& prompts,
                           const GenerateOptions& options,
                           std::vector<std::string>* pieces = nullptr) {
  const data::Tokenizer tokenizer = byte_tokenizer();
  return generate(chain.model(), &tokenizer, prompts, options,
                  {.on_piece =
                       [pieces](int, std::string_view piece) {
                         if (pieces != nullptr) pieces->emplace_back(piece);
                       },
                   .keep_going = {}});
}

Result<Generated> run(ChainModel& chain,
                      std::string_view prompt,
                      const GenerateOptions& options,
                      std::vector<std::string>* pieces = nullptr) {
  TERA_TRY(Generation made, run_all(chain, {prompt_of(prompt)}, options, pieces));
  return std::move(made.texts.front());
}

std::vector<std::int32_t> ids(const Generated& made) {
  std::vector<std::int32_t> ids;
  for (const TokenLogprob& token : made.tokens)
    ids.push_back(token.token);
  return ids;
}

TEST(Generate, SpeaksUntilTheEndOfTheDocument) {
  ChainModel chain(kText);
  std::vector<std::string> pieces;
  const Result<Generated> g = run(chain, "h", kGreedy, &pieces);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_EQ(g->text, kText.substr(1));
  EXPECT_EQ(g->finish, Finish::end_of_document);
  EXPECT_EQ(g->prompt_tokens, 1);
  EXPECT_EQ(g->tokens.size(), kText.size() - 1);
  EXPECT_TRUE(g->alternatives.empty() && g->experts.empty()) << "not asked for";
  for (const TokenLogprob& token : g->tokens)
    EXPECT_TRUE(token.logprob <= 0 && token.logprob > -1e-6) << "2 sqrt(257) above the rest";
  EXPECT_THAT(pieces,
              testing::ElementsAre("\xC3\xA9", " ", "\xE2\x82\xAC", "\xF0\x9D\x84\x9E", "!"));
}

// Any of the tokens that end texts, those of the tokenizer and those given without one.
TEST(Generate, EveryTokenThatEndsTextsDoes) {
  ChainModel chain("abcdef");
  const std::vector<Prompt> prompts = {{.tokens = {'a'}}};
  for (const std::int32_t end : {'e', 'd'}) {
    const data::Tokenizer tokenizer = byte_tokenizer(true, {.eos = {kEndOfDocument, 'x', end}});
    const Result<Generation> known = generate(chain.model(), &tokenizer, prompts, kGreedy);
    ASSERT_TRUE(known.has_value()) << known.error().message;
    EXPECT_EQ(known->texts[0].text,
              std::string("bcd").substr(0, static_cast<std::size_t>(end - 'b')));
    EXPECT_EQ(known->texts[0].finish, Finish::end_of_document);
    GenerateOptions options = kGreedy;
    options.end_tokens = {'x', end};
    const Result<Generation> without = generate(chain.model(), nullptr, prompts, options);
    ASSERT_TRUE(without.has_value()) << without.error().message;
    EXPECT_EQ(ids(without->texts[0]), ids(known->texts[0]));
    EXPECT_EQ(without->texts[0].text, "");
    EXPECT_EQ(without->texts[0].finish, Finish::end_of_document);
    options.stops = {"b"};
    const Result<Generation> stops = generate(chain.model(), nullptr, prompts, options);
    ASSERT_FALSE(stops.has_value());
    EXPECT_THAT(stops.error().message, testing::HasSubstr("without a tokenizer"));
  }
}

TEST(Generate, AnEmptyPromptStartsADocument) {
  ChainModel chain(kText);
  const Result<Generated> g = run(chain, "", kGreedy);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->text, kText);
  const Result<Prompt> none = make_prompt(byte_tokenizer(false), "", 0);
  ASSERT_FALSE(none.has_value());
  EXPECT_THAT(none.error().message, testing::HasSubstr("the prompt is empty"));
}

// The post-processor of Llama's tokenizer.json: <s> before every text.
TEST(Generate, APromptBeginsAsItsTokenizerSays) {
  std::ifstream golden(std::string(std::getenv("TERA_SOURCE_DIR")) +
                       "/tests/golden/tokenizer/llama.json");
  nlohmann::json file = nlohmann::json::parse(golden);
  const std::vector<std::int32_t> plain =
      make_prompt(data::Tokenizer::parse(file.dump()).value(), "the cat", 0)->tokens;
  file["post_processor"] = nlohmann::json::parse(
      R"({"type": "TemplateProcessing",
          "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                     {"Sequence": {"id": "A", "type_id": 0}}],
          "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}})");
  const data::Tokenizer tokenizer = data::Tokenizer::parse(file.dump()).value();
  std::vector<std::int32_t> expected = plain;
  expected.insert(expected.begin(), 1);
  EXPECT_EQ(make_prompt(tokenizer, "the cat", 0)->tokens, expected);
  EXPECT_EQ(make_prompt(tokenizer, "", 0)->tokens, (std::vector<std::int32_t>{1}));
}

TEST(Generate, StopsAtMaxTokensAndShowsNoHalfCharacter) {
  ChainModel chain(kText);
  std::vector<std::string> pieces;
  GenerateOptions few = kGreedy;
  few.max_tokens = 5;
  const Result<Generated> g = run(chain, "h", few, &pieces);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->tokens.size(), 5U);
  EXPECT_EQ(g->finish, Finish::max_tokens);
  EXPECT_THAT(pieces, testing::ElementsAre("\xC3\xA9", " ", "\uFFFD\uFFFD"));
}

TEST(Generate, StopsBeforeAStopString) {
  ChainModel chain(kText);
  GenerateOptions options = kGreedy;
  options.stops = {"nowhere", "\xE2\x82\xAC\xF0\x9D\x84\x9E"};  // seven tokens of one byte
  std::vector<std::string> pieces;
  const Result<Generated> g = run(chain, "h", options, &pieces);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->text, "\xC3\xA9 ");
  EXPECT_EQ(g->finish, Finish::stop);
  EXPECT_EQ(g->tokens.size(), 10U) << "up to the one that ends the stop string";
  EXPECT_THAT(pieces, testing::ElementsAre("\xC3\xA9", " "));
}

TEST(Generate, IsInterruptedWithWhatThereIs) {
  ChainModel chain(kText);
  int asked = 0;
  const data::Tokenizer tokenizer = byte_tokenizer();
  const Result<Generation> g =
      generate(chain.model(), &tokenizer, std::vector<Prompt>{prompt_of("h")}, kGreedy,
               {.on_piece = {}, .keep_going = [&asked] { return ++asked < 4; }});
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(asked, 4);
  EXPECT_EQ(g->texts[0].text, "\xC3\xA9 ");
  EXPECT_EQ(g->texts[0].finish, Finish::interrupted);
}

TEST(Generate, PaddingOfTheVocabularyIsNeverDrawn) {
  ChainModel chain(kText, 264);
  const Result<Generated> g = run(chain, "h", kGreedy);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->text, kText.substr(1));
  EXPECT_GT(g->tokens[0].logprob, -1e-6) << "and has no share of the probability";
}

TEST(Generate, IdsNeedNoTokenizer) {
  ChainModel chain("ab", 260);
  const std::vector<Prompt> prompts = {{.tokens = {5}, .seed = 0}};
  const Result<Generation> g = generate(chain.model(), nullptr, prompts, kGreedy);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_EQ(g->texts[0].tokens.size(), 30U);
  EXPECT_EQ(g->texts[0].tokens[0].token, 257) << "the vocabulary is the model's";
  EXPECT_EQ(g->texts[0].finish, Finish::max_tokens);
  EXPECT_EQ(g->texts[0].text, "");
}

TEST(Generate, SameSeedSameText) {
  ChainModel chain("ab");
  const GenerateOptions warm{.max_tokens = 20, .sampling = {.temperature = 30}};
  const Result<Generation> made =
      run_all(chain, {prompt_of("zz", 5), prompt_of("zz", 5), prompt_of("zz", 6)}, warm);
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(ids(made->texts[0]), ids(made->texts[1]));
  EXPECT_NE(ids(made->texts[0]), ids(made->texts[2]));
}

TEST(Generate, APenaltyKeepsTheTextFromRepeating) {
  ChainModel chain("aba");  // a -> a or b or the end, in order of id
  chain.at("head.weight", 'a', 'a') = 2.5F;
  GenerateOptions options{.max_tokens = 4, .sampling = {.temperature = 0}};
  EXPECT_EQ(run(chain, "a", options)->text, "aaaa");
  options.sampling.frequency_penalty = 5;  // the logits are 2.5 sqrt(257) = 40, 32 and 32
  EXPECT_EQ(run(chain, "a", options)->text, "aaba");
  options.sampling.frequency_penalty = 0;
  options.sampling.repetition_penalty = 2;  // of the prompt too
  EXPECT_EQ(run(chain, "a", options)->text, "ba");
}

TEST(Generate, ReportsTheMostLikelyTokensOfEachPlace) {
  ChainModel chain("ab");
  chain.at("head.weight", 'c', 'a') = 1.9375F;  // a sixteenth behind b
  GenerateOptions options = kGreedy;
  options.num_alternatives = 2;
  const Result<Generated> g = run(chain, "a", options);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->text, "b");
  ASSERT_EQ(g->alternatives.size(), 1U);
  ASSERT_EQ(g->alternatives[0].size(), 2U);
  EXPECT_EQ(g->alternatives[0][0].token, 'b');
  EXPECT_EQ(g->alternatives[0][1].token, 'c');
  EXPECT_DOUBLE_EQ(g->alternatives[0][0].logprob, g->tokens[0].logprob);
  // Two tokens share the probability; the other 255 have e^-32 each. f32 logits of 32 have an
  // error of 2e-6.
  const double behind = 1.0 / 16 / std::sqrt(1.0 / kNumTokens + 1e-5);  // rms norm of a unit vector
  const double expected = -std::log(1 + std::exp(-behind));
  EXPECT_NEAR(g->tokens[0].logprob, expected, 1e-5);
  EXPECT_NEAR(g->alternatives[0][1].logprob, expected - behind, 1e-5);
}

TEST(Generate, SaysWhatDoesNotFit) {
  ChainModel chain(kText);
  const Result<Generated> tail = run(chain, std::string(11, 'h'), kGreedy);
  ASSERT_FALSE(tail.has_value());
  EXPECT_EQ(tail.error().code, ErrorCode::invalid_input);
  EXPECT_THAT(tail.error().message,
              testing::HasSubstr(
                  "the prompt has 11 tokens: with 30 new ones they exceed the context of 40"));
  EXPECT_TRUE(run(chain, std::string(10, 'h'), kGreedy).has_value());
  const Result<Generation> second =
      run_all(chain, {prompt_of("h"), prompt_of(std::string(50, 'h'))}, kGreedy);
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().message, testing::HasSubstr("prompt 2 has 50 tokens"));

  const Result<Generation> id = run_all(chain, {{.tokens = {104, 257}, .seed = 0}}, kGreedy);
  ASSERT_FALSE(id.has_value());
  EXPECT_THAT(id.error().message, testing::HasSubstr("token 2 is 257, expected 0 to 256"));
  EXPECT_FALSE(run_all(chain, {{.tokens = {-1}, .seed = 0}}, kGreedy).has_value());
  EXPECT_FALSE(run_all(chain, {Prompt{}}, kGreedy).has_value());

  for (const GenerateOptions& wrong :
       {GenerateOptions{.max_tokens = 0}, GenerateOptions{.sampling = {.temperature = -1}},
        GenerateOptions{.stops = {"a", ""}}, GenerateOptions{.num_alternatives = -1},
        GenerateOptions{.with_experts = true}}) {
    EXPECT_FALSE(run(chain, "h", wrong).has_value());
  }
  const Result<void> other = check_vocabulary(chain_config(200), byte_tokenizer());
  ASSERT_FALSE(other.has_value());
  EXPECT_THAT(other.error().message,
              testing::HasSubstr("the tokenizer has 257 tokens, the model 200"));
}

TEST(Generate, WeightsThatAreNoNumbersAreAnError) {
  ChainModel chain(kText);
  chain.at("embedding.tokens", 'h', 0) = std::numeric_limits<float>::quiet_NaN();
  const Result<Generated> g = run(chain, "h", kGreedy);
  ASSERT_FALSE(g.has_value());
  EXPECT_EQ(g.error().code, ErrorCode::corrupt);
}

// Prompts of 1 to 50 tokens that end at different times, some of them by a stop string.
TEST(Generate, TheTextOfAPromptDoesNotDependOnTheOthers) {
  std::vector<Prompt> prompts;
  for (std::size_t i = 0; i < 7; ++i)
    prompts.push_back(prompt_of(std::string(1 + i * 8, static_cast<char>('a' + i)), i));
  const data::Tokenizer tokenizer = byte_tokenizer();
  std::vector<std::string> stops;  // a fifth of the tokens
  for (char c = 'A'; c <= 'z'; ++c)
    stops.emplace_back(1, c);
  for (const bool moe : {false, true}) {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      RandomModel random(moe, dtype);
      const GenerateOptions options{.max_tokens = 25,
                                    .sampling = {.temperature = 1, .repetition_penalty = 1.1},
                                    .stops = stops,
                                    .num_alternatives = 1,
                                    .with_experts = moe};
      const Result<Generation> together = generate(*random.model, &tokenizer, prompts, options);
      ASSERT_TRUE(together.has_value()) << together.error().message;
      std::set<std::size_t> lengths;
      for (std::size_t i = 0; i < prompts.size(); ++i) {
        const Result<Generation> alone =
            generate(*random.model, &tokenizer, {&prompts[i], 1}, options);
        ASSERT_TRUE(alone.has_value());
        const Generated& a = alone->texts[0];
        const Generated& b = together->texts[i];
        lengths.insert(a.tokens.size());
        EXPECT_EQ(a.text, b.text);
        EXPECT_EQ(a.finish, b.finish);
        ASSERT_EQ(ids(a), ids(b)) << "prompt " << i;
        for (std::size_t t = 0; t < a.tokens.size(); ++t) {
          EXPECT_EQ(a.tokens[t].logprob, b.tokens[t].logprob) << "to the bit";
          EXPECT_EQ(a.alternatives[t][0].token, b.alternatives[t][0].token);
        }
        if (!moe) continue;
        const std::size_t last = a.finish == Finish::end_of_document ? 0 : 1;
        ASSERT_EQ(a.experts.size(), prompts[i].tokens.size() + a.tokens.size() - last);
        ASSERT_EQ(b.experts.size(), a.experts.size());
        for (std::size_t t = 0; t < a.experts.size(); ++t) {
          for (std::size_t layer = 0; layer < 2; ++layer) {
            EXPECT_EQ(a.experts[t][layer].experts.size(), 2U);
            EXPECT_EQ(a.experts[t][layer].experts, b.experts[t][layer].experts);
            EXPECT_EQ(a.experts[t][layer].gates, b.experts[t][layer].gates);
          }
        }
      }
      EXPECT_GT(lengths.size(), 2U) << "they end at different times";
    }
  }
}

}  // namespace
}  // namespace tera::infer
