#include "core/data/pre_tokenizer.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tera::data {
namespace {

using testing::ElementsAre;
using enum PreTokenizerKind;

std::vector<std::string> pieces(PreTokenizerKind kind, std::string_view text) {
  std::vector<std::string> all;
  PieceScanner scanner(kind, text);
  for (std::string_view piece = scanner.next(); !piece.empty(); piece = scanner.next()) {
    all.emplace_back(piece);
  }
  return all;
}

TEST(PreTokenizer, Gpt2) {
  EXPECT_THAT(pieces(gpt2, "Hello world's end, I'll"),
              ElementsAre("Hello", " world", "'s", " end", ",", " I", "'ll"));
  EXPECT_THAT(pieces(gpt2, "a  b   "), ElementsAre("a", " ", " b", "   "));
  EXPECT_THAT(pieces(gpt2, "x\n\ny\n z"), ElementsAre("x", "\n", "\n", "y", "\n", " z"));
  EXPECT_THAT(pieces(gpt2, "12345 67 $#! 'S"), ElementsAre("12345", " 67", " $#!", " '", "S"));
  EXPECT_THAT(pieces(gpt2, "café Москва 中文٣"), ElementsAre("café", " Москва", " 中文", "٣"));
  EXPECT_THAT(pieces(gpt2, "a\u00a0b \t"), ElementsAre("a", "\u00a0", "b", " \t"));
  EXPECT_THAT(pieces(gpt2, " "), ElementsAre(" "));
}

TEST(PreTokenizer, Llama3) {
  EXPECT_THAT(pieces(llama3, "Hello world'S end, I'lL"),
              ElementsAre("Hello", " world", "'S", " end", ",", " I", "'lL"));
  EXPECT_THAT(pieces(llama3, "12345 67"), ElementsAre("123", "45", " ", "67"));
  EXPECT_THAT(pieces(llama3, "x \n\n  y"), ElementsAre("x", " \n\n", " ", " y"));
  EXPECT_THAT(pieces(llama3, "end.\n\nNext"), ElementsAre("end", ".\n\n", "Next"));
  EXPECT_THAT(pieces(llama3, "(a _b 'c\tд"), ElementsAre("(a", " _", "b", " '", "c", "\tд"));
  EXPECT_THAT(pieces(llama3, "'ſ'x"), ElementsAre("'ſ", "'x"));  // U+017F folds to s
  EXPECT_THAT(pieces(qwen2, "12 3"), ElementsAre("1", "2", " ", "3"));
}

TEST(PreTokenizer, TakesAnyBytesAndLosesNone) {
  std::uint64_t state = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    const std::string_view pool = " \n\r\t'as1.\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80\xFF\xC5\xBF";
    for (int i = 0; i < 24; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      text.push_back(pool[(state >> 33) % pool.size()]);
    }
    for (const PreTokenizerKind kind : {gpt2, llama3, qwen2}) {
      std::string joined;
      for (const std::string& piece : pieces(kind, text))
        joined += piece;
      EXPECT_EQ(joined, text);
    }
  }
}

// A backtracking engine needs hours for some of these: ctest's limit ends it.
TEST(PreTokenizer, IsLinear) {
  for (const std::string_view unit : {" ", "\n", "a", "1", "'", " \n", "\xFF"}) {
    std::string text;
    while (text.size() < 4'000'000)
      text += unit;
    text += "x";
    for (const PreTokenizerKind kind : {gpt2, llama3}) {
      const std::vector<std::string> found = pieces(kind, text);
      EXPECT_EQ(found.back().back(), 'x') << unit;
    }
  }
}

TEST(PreTokenizer, NamesAndPatternsLeadBack) {
  for (const PreTokenizerKind kind : {gpt2, llama3, qwen2}) {
    EXPECT_EQ(pre_tokenizer_from_name(pre_tokenizer_name(kind)), kind);
    EXPECT_EQ(pre_tokenizer_from_pattern(pre_tokenizer_pattern(kind)), kind);
  }
  EXPECT_FALSE(pre_tokenizer_from_pattern("(a+)+$").has_value());
}

}  // namespace
}  // namespace tera::data
