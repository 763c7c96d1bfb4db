// Tokenizers of the shapes published models have, held against what the `tokenizers` package makes
// of the same files and texts: tests/golden/tokenizer, made by tests/referee/tokenizer.
#include <cstdlib>
#include <fstream>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/data/pre_tokenizer.h"
#include "core/data/split_pattern.h"
#include "core/data/tokenizer.h"
#include "tests/core/data/data_fixture.h"

namespace tera::data {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json golden(const std::string& name) {
  std::ifstream file(std::string(std::getenv("TERA_SOURCE_DIR")) + "/tests/golden/tokenizer/" +
                     name + ".json");
  return json::parse(file);
}

class ForeignTokenizer : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All,
                         ForeignTokenizer,
                         testing::Values("llama",
                                         "llama_older",
                                         "across_words",
                                         "mistral",
                                         "metaspace",
                                         "deepseek_v2",
                                         "deepseek_v3"),
                         [](const auto& name) { return std::string(name.param); });

TEST_P(ForeignTokenizer, GivesTheSameIdsAndText) {
  const Result<Tokenizer> tokenizer = Tokenizer::parse(golden(GetParam()).dump());
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const json cases = golden(std::string(GetParam()) + ".cases");
  ASSERT_GT(cases.size(), 50U);
  for (const json& c : cases) {
    const std::vector<std::int32_t> ids = tokenizer->encode(c.at("text").get<std::string>(), true);
    EXPECT_EQ(ids, c.at("ids").get<std::vector<std::int32_t>>()) << c.at("text");
    if (c.contains("decoded")) {
      EXPECT_EQ(tokenizer->decode(ids).value(), c.at("decoded")) << c.at("text");
    }
  }
}

// With transformers' own file of cases, made by tests/referee/tokenizer/make_beginnings.py.
TEST(TextBeginning, IsWhatTransformersPutsBeforeATextForAModel) {
  json file = golden("llama");
  const json cases = golden("beginnings");
  ASSERT_GT(cases.size(), 20U);
  const test::TempDir dir;
  for (const json& c : cases) {
    file["post_processor"] = c.at("post_processor");
    test::write_all(dir / "tokenizer.json", file.dump());
    test::write_all(dir / "tokenizer_config.json", c.at("settings").dump());
    const Result<Tokenizer> tokenizer = Tokenizer::load(dir.path());
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    EXPECT_EQ(tokenizer->beginning(), c.at("ids").get<std::vector<std::int32_t>>()) << c;
  }
}

TEST(TextBeginning, WhatIsWrongIsNamed) {
  json file = golden("llama");
  const auto error = [&](const char* processor) {
    file["post_processor"] = json::parse(processor);
    const Result<Tokenizer> tokenizer = Tokenizer::parse(file.dump());
    return tokenizer ? std::string("accepted") : tokenizer.error().message;
  };
  EXPECT_THAT(error(R"({"type": "Other"})"),
              HasSubstr(R"(post_processor {"type":"Other"} is not)"));
  EXPECT_THAT(error("3"), HasSubstr("post_processor 3 is not known"));
  EXPECT_THAT(error(R"({"type": "BertProcessing", "cls": ["a", -1]})"), HasSubstr("is not known"));
  EXPECT_THAT(error(R"({"type": "BertProcessing", "cls": ["a", 99999]})"),
              HasSubstr("post_processor: id 99999 is no token"));
  EXPECT_THAT(error(R"({"type": "TemplateProcessing", "single": []})"),
              HasSubstr("its template names no text"));
  EXPECT_THAT(
      error(R"({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]})"),
      HasSubstr("has no ids"));
}

TEST(ByteFallback, BytesThatAreNoCharactersKeepTheirTokens) {
  const Tokenizer tokenizer = Tokenizer::parse(golden("llama").dump()).value();
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("the \xFF\xE2\x96 cat")).value(),
            "the \xFF\xE2\x96 cat");
  EXPECT_EQ(tokenizer.encode("\a").back(), 3 + '\a') << "bytes stand behind three special tokens";
  EXPECT_EQ(tokenizer.pre_tokenizer(), "marked_words");
  EXPECT_EQ(Tokenizer::parse(golden("across_words").dump()).value().pre_tokenizer(), "whole");
}

TEST(ByteFallback, WhatIsNotSupportedIsNamed) {
  const auto error = [](const char* file, const std::function<void(json&)>& damage) {
    json changed = golden(file);
    damage(changed);
    const Result<Tokenizer> tokenizer = Tokenizer::parse(changed.dump());
    return tokenizer ? std::string("accepted") : tokenizer.error().message;
  };
  EXPECT_THAT(error("llama", [](json& f) { f["normalizer"]["normalizers"][0]["prepend"] = "x"; }),
              HasSubstr("normalizer "));
  EXPECT_THAT(error("llama", [](json& f) { f["normalizer"] = nullptr; }),
              HasSubstr("pre_tokenizer null is not supported"));
  EXPECT_THAT(error("mistral", [](json& f) { f["pre_tokenizer"]["replacement"] = "_"; }),
              HasSubstr("pre_tokenizer {"));
  EXPECT_THAT(error("llama", [](json& f) { f["model"]["vocab"].erase("<0x0A>"); }),
              HasSubstr("no token for 1 of the 256 byte values, such as 0x0a"));
  EXPECT_THAT(
      error("deepseek_v2",
            [](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }),
      HasSubstr("pre_tokenizer {"));
  EXPECT_THAT(
      error("deepseek_v3",
            [](json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a|b)+"; }),
      HasSubstr("pattern \"(a|b)+\" is not known"));
}

std::vector<std::string> pieces(const std::vector<std::string>& patterns, std::string_view text) {
  std::vector<SplitPattern> splits;
  for (const std::string& pattern : patterns)
    splits.push_back(SplitPattern::parse(pattern).value());
  std::vector<std::string> found;
  SplitScanner scanner(splits, text);
  for (std::string_view piece = scanner.next(); !piece.empty(); piece = scanner.next())
    found.emplace_back(piece);
  return found;
}

TEST(SplitPattern, MatchesAndWhatLiesBetweenArePieces) {
  EXPECT_THAT(pieces({"[a-c]"}, "abxyc"), ElementsAre("a", "b", "xy", "c"));
  EXPECT_THAT(pieces({"\\p{N}{1,3}"}, "12345x6"), ElementsAre("123", "45", "x", "6"));
  EXPECT_THAT(pieces({"\\s?[a-z]+"}, "ab  cd E"), ElementsAre("ab", " ", " cd", " E"));
  EXPECT_THAT(pieces({"[^a-z]+"}, "ab12cd"), ElementsAre("ab", "12", "cd"));
  EXPECT_THAT(pieces({"\\s+$"}, "a b \n c  "), ElementsAre("a b", " ", "\n c", "  "));
  EXPECT_THAT(pieces({"[\\-\\]]+", "\\p{L}+"}, "a-]b1"), ElementsAre("a", "-]", "b", "1"));
  EXPECT_TRUE(pieces({"\\p{L}+"}, "").empty());
}

TEST(SplitPattern, OthersAreRefused) {
  for (const char* pattern : {"", "a", "[a", "[b-a]", "[[:alpha:]]", "[a&&b]", "[\\d]", "\\p{Lu}+",
                              "[a]*", "[a]{2,3}", "[a]{1,0}", "(a+)+$", "\\s?[a]", "[a]+b"}) {
    EXPECT_FALSE(SplitPattern::parse(pattern)) << pattern;
  }
}

// Quadratic work would take hours here: ctest's limit ends it.
TEST(SplitPattern, LongRunsTakeLinearTime) {
  const std::string spaces = std::string(1 << 21, ' ') + "x";
  for (const char* pattern : {"\\s+$", "\\s?[x]+", "\\p{N}{1,3}"})
    EXPECT_EQ(pieces({pattern}, spaces).back().back(), 'x');
  const Tokenizer llama = Tokenizer::parse(golden("across_words").dump()).value();
  EXPECT_GT(llama.encode(std::string(1 << 20, 'a')).size(), 1U);
}

}  // namespace
}  // namespace tera::data
