#include "core/data/bpe_trainer.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/tokenizer.h"

namespace tera::data {
namespace {

using testing::HasSubstr;

std::vector<std::string> corpus() {
  std::vector<std::string> texts;
  const std::vector<std::string> words = {"the",  "then",  "there",  "low",   "lower", "lowest",
                                          "aaaa", "aaaaa", "banana", "naïve", "2024"};
  std::uint64_t state = 11;
  for (int t = 0; t < 60; ++t) {
    std::string text;
    for (int i = 0; i < 200; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      text += words[(state >> 35) % words.size()];
      text += (state >> 60) == 3 ? "\n" : " ";
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

TokenizerFile train(int num_threads,
                    BpeTrainerOptions options,
                    const std::vector<std::string>& texts) {
  ThreadPool pool(num_threads);
  BpeTrainer trainer = BpeTrainer::create(std::move(options), pool).value();
  trainer.add_texts(texts);
  return trainer.train().value();
}

// The definition, slowly: recount every pair of every piece after each merge.
std::vector<std::pair<std::string, std::string>> merges_by_definition(
    const std::vector<std::string>& texts, std::size_t count, PreTokenizerKind kind) {
  std::map<std::string, std::int32_t> ids;
  for (const std::uint8_t byte : bytes_by_code_point()) {
    ids[std::string(1, static_cast<char>(byte))] = static_cast<std::int32_t>(ids.size());
  }
  std::vector<std::vector<std::string>> pieces;
  for (const std::string& text : texts) {
    PieceScanner scanner(kind, text);
    for (auto piece = scanner.next(); !piece.empty(); piece = scanner.next()) {
      pieces.emplace_back();
      for (const char byte : piece)
        pieces.back().emplace_back(1, byte);
    }
  }
  std::vector<std::pair<std::string, std::string>> merges;
  while (merges.size() < count) {
    std::map<std::pair<std::int32_t, std::int32_t>,
             std::pair<std::int64_t, std::pair<std::string, std::string>>>
        counts;
    for (const auto& piece : pieces) {
      for (std::size_t i = 0; i + 1 < piece.size(); ++i) {
        auto& entry = counts[{ids[piece[i]], ids[piece[i + 1]]}];
        ++entry.first;
        entry.second = {piece[i], piece[i + 1]};
      }
    }
    const auto best =
        std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
          return a.second.first < b.second.first;  // the first, so the least pair of ids, wins ties
        });
    if (best == counts.end() || best->second.first < 2) break;
    const auto [left, right] = best->second.second;
    merges.emplace_back(left, right);
    ids.try_emplace(left + right, static_cast<std::int32_t>(ids.size()));
    for (auto& piece : pieces) {
      for (std::size_t i = 0; i + 1 < piece.size(); ++i) {
        if (piece[i] != left || piece[i + 1] != right) continue;
        piece[i] += right;
        piece.erase(piece.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(BpeTrainer, FindsTheMergesOfTheDefinition) {
  for (const PreTokenizerKind kind : {PreTokenizerKind::gpt2, PreTokenizerKind::llama3}) {
    std::vector<std::string> texts = corpus();
    texts.resize(6);
    BpeTrainerOptions options;
    options.vocab_size = 256 + 2 + 60;
    options.pre_tokenizer = kind;
    const TokenizerFile file = train(1, options, texts);
    std::vector<std::pair<std::string, std::string>> merges;
    for (const BpeModel::Merge& merge : file.merges) {
      merges.emplace_back(file.tokens[static_cast<std::size_t>(merge.left)],
                          file.tokens[static_cast<std::size_t>(merge.right)]);
    }
    const auto expected = merges_by_definition(texts, merges.size(), kind);
    EXPECT_EQ(merges, expected);
    EXPECT_GT(merges.size(), 30U);
  }
}

TEST(BpeTrainer, GivesTheSameBytesForAnyNumberOfThreads) {
  BpeTrainerOptions options;
  options.vocab_size = 330;
  const std::string one = write_tokenizer_file(train(1, options, corpus()));
  EXPECT_EQ(write_tokenizer_file(train(2, options, corpus())), one);
  EXPECT_EQ(write_tokenizer_file(train(8, options, corpus())), one);
}

TEST(BpeTrainer, BeginsWithSpecialTokensAndAllBytes) {
  BpeTrainerOptions options;
  options.vocab_size = 300;
  const TokenizerFile file = train(1, options, corpus());
  EXPECT_EQ(file.tokens[0], "<|endoftext|>");
  EXPECT_EQ(file.tokens[1], "<|pad|>");
  const Tokenizer tokenizer = Tokenizer::parse(write_tokenizer_file(file)).value();
  EXPECT_EQ(tokenizer.eod_id(), 0);
  EXPECT_TRUE(tokenizer.is_special(1));
  std::string bytes;
  for (int b = 0; b < 256; ++b)
    bytes.push_back(static_cast<char>(b));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)).value(), bytes);
  EXPECT_LT(tokenizer.encode("the lowest").size(), 6U);
}

TEST(BpeTrainer, NeverBuildsASpecialTokenFromText) {
  BpeTrainerOptions options;
  options.vocab_size = 300;
  options.special_tokens = {"<|endoftext|>", "aaaa"};
  const TokenizerFile file = train(1, options, corpus());
  for (const BpeModel::Merge& merge : file.merges)
    EXPECT_GE(merge.merged, 2);
  const Tokenizer tokenizer = Tokenizer::parse(write_tokenizer_file(file)).value();
  for (const std::int32_t id : tokenizer.encode("aaaa"))
    EXPECT_NE(id, 1);
}

TEST(BpeTrainer, StopsWhenPairsAreTooRareOrWhenAsked) {
  BpeTrainerOptions options;
  options.vocab_size = 100000;
  options.min_frequency = 1000;
  const TokenizerFile file = train(1, options, corpus());
  EXPECT_LT(file.tokens.size(), 320U);
  ThreadPool pool(1);
  options.min_frequency = 1;
  options.special_tokens = {};
  BpeTrainer trainer = BpeTrainer::create(options, pool).value();
  std::vector<std::string> many;
  for (int i = 0; i < 3000; ++i)
    many.push_back("w" + std::to_string(i * 7919));
  trainer.add_texts(many);
  EXPECT_FALSE(trainer.train([](std::int64_t, std::int64_t) { return false; }));
}

TEST(BpeTrainer, RefusesImpossibleVocabularies) {
  ThreadPool pool(1);
  BpeTrainerOptions options;
  options.vocab_size = 257;
  const Result<BpeTrainer> trainer = BpeTrainer::create(options, pool);
  ASSERT_FALSE(trainer);
  EXPECT_THAT(trainer.error().message, HasSubstr("257 tokens, expected 258"));
  options.vocab_size = 4096;
  options.special_tokens = {"<x>", "<x>"};
  EXPECT_FALSE(BpeTrainer::create(options, pool));
}

}  // namespace
}  // namespace tera::data
