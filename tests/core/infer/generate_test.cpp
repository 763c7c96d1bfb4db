#include "core/infer/generate.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/base/thread_pool.h"
#include "core/tensor/cpu_backend.h"

namespace tera::infer {
namespace {

constexpr std::int32_t kEndOfDocument = 256;
constexpr std::int32_t kNumTokens = 257;

// One token per byte, written as in byte-level BPE files, and the end of a document.
data::Tokenizer byte_tokenizer(bool with_end = true) {
  nlohmann::json vocab = nlohmann::json::object();
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int point = printable ? byte : next++;
    std::string text;
    if (point < 128) {
      text = static_cast<char>(point);
    } else {
      text = {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
    }
    vocab[text] = byte;
  }
  nlohmann::json root = {
      {"version", "1.0"},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  if (with_end) {
    root["added_tokens"].push_back(
        {{"id", kEndOfDocument}, {"content", "<|endoftext|>"}, {"special", true}});
  }
  const Result<data::Tokenizer> tokenizer = data::Tokenizer::parse(root.dump());
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *tokenizer;
}

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
const SamplingOptions kGreedy{.max_tokens = 30, .temperature = 0};

Result<Generated> run(ChainModel& chain,
                      std::string_view prompt,
                      const SamplingOptions& options,
                      std::vector<std::string>* pieces = nullptr) {
  return generate(chain.model(), byte_tokenizer(), prompt, options,
                  [pieces](std::string_view piece) {
                    if (pieces != nullptr) pieces->emplace_back(piece);
                    return true;
                  });
}

TEST(Generate, SpeaksUntilTheEndOfTheDocument) {
  ChainModel chain(kText);
  std::vector<std::string> pieces;
  const Result<Generated> g = run(chain, "h", kGreedy, &pieces);
  ASSERT_TRUE(g.has_value()) << g.error().message;
  EXPECT_EQ(g->text, kText.substr(1));
  EXPECT_TRUE(g->ended);
  EXPECT_EQ(g->prompt_tokens, 1);
  EXPECT_EQ(g->tokens.size(), kText.size() - 1);
  EXPECT_EQ(g->logprobs.size(), g->tokens.size());
  for (const double logprob : g->logprobs)
    EXPECT_TRUE(logprob < 0 && logprob > -1e-6) << "2 sqrt(257) above the rest";
  EXPECT_THAT(pieces,
              testing::ElementsAre("\xC3\xA9", " ", "\xE2\x82\xAC", "\xF0\x9D\x84\x9E", "!"));
}

TEST(Generate, AnEmptyPromptStartsADocument) {
  ChainModel chain(kText);
  const Result<Generated> g = run(chain, "", kGreedy);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->text, kText);
  const Result<Generated> none = generate(chain.model(), byte_tokenizer(false), "", kGreedy, {});
  ASSERT_FALSE(none.has_value());
  EXPECT_THAT(none.error().message, testing::HasSubstr("the prompt is empty"));
}

TEST(Generate, StopsAtMaxTokensAndHandsOutTheRestOfACharacter) {
  ChainModel chain(kText);
  std::vector<std::string> pieces;
  const Result<Generated> g = run(chain, "h", {.max_tokens = 5, .temperature = 0}, &pieces);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->tokens.size(), 5U);
  EXPECT_FALSE(g->ended);
  EXPECT_THAT(pieces, testing::ElementsAre("\xC3\xA9", " ", "\xE2\x82"));
}

TEST(Generate, StopsWhenAskedTo) {
  ChainModel chain(kText);
  int calls = 0;
  const Result<Generated> g = generate(chain.model(), byte_tokenizer(), "h", kGreedy,
                                       [&calls](std::string_view) { return ++calls < 2; });
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(g->text, "\xC3\xA9 ");
}

TEST(Generate, PaddingOfTheVocabularyIsNeverDrawn) {
  ChainModel chain(kText, 264);
  const Result<Generated> g = run(chain, "h", kGreedy);
  ASSERT_TRUE(g.has_value());
  EXPECT_EQ(g->text, kText.substr(1));
}

TEST(Generate, SameSeedSameText) {
  ChainModel chain("ab");
  const SamplingOptions warm{.max_tokens = 20, .temperature = 30, .seed = 5};
  const Result<Generated> first = run(chain, "zz", warm);
  const Result<Generated> again = run(chain, "zz", warm);
  SamplingOptions other = warm;
  other.seed = 6;
  const Result<Generated> different = run(chain, "zz", other);
  ASSERT_TRUE(first && again && different);
  EXPECT_EQ(first->tokens, again->tokens);
  EXPECT_EQ(first->logprobs, again->logprobs);
  EXPECT_NE(first->tokens, different->tokens);
}

TEST(Generate, SaysWhatDoesNotFit) {
  ChainModel chain(kText);
  const Result<Generated> tail = run(chain, std::string(11, 'h'), kGreedy);
  ASSERT_FALSE(tail.has_value());
  EXPECT_EQ(tail.error().code, ErrorCode::invalid_input);
  EXPECT_THAT(tail.error().message,
              testing::HasSubstr("11 tokens of prompt and 30 new ones exceed the context of 40"));
  EXPECT_TRUE(run(chain, std::string(10, 'h'), kGreedy).has_value());

  for (const SamplingOptions& wrong :
       {SamplingOptions{.max_tokens = 0}, SamplingOptions{.temperature = -1},
        SamplingOptions{.temperature = std::nan("")}, SamplingOptions{.top_k = -2},
        SamplingOptions{.top_p = 0}}) {
    EXPECT_FALSE(run(chain, "h", wrong).has_value());
  }
  spec::ModelConfig small = chain_config(200);
  ThreadPool pool(1);
  const auto backend = make_cpu_backend(pool, CpuOps::reference);
  nn::ParamStore params(*backend, plan::make_param_table(small), {.gradients = false});
  nn::Model model(small, params);
  const Result<Generated> other = generate(model, byte_tokenizer(), "h", kGreedy, {});
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

}  // namespace
}  // namespace tera::infer
