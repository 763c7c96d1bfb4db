#include "core/data/tokenizer.h"

#include <filesystem>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "core/data/tokenizer_file.h"
#include "tests/core/data/data_fixture.h"

namespace tera::data {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// A byte-level file with the merges given as text; ids: 0 <|endoftext|>, 1 <|tool|> (not special),
// then the 256 bytes by code point, then the joins.
TokenizerFile small_file(const std::vector<std::pair<std::string, std::string>>& merges) {
  TokenizerFile file;
  file.added_tokens = {{0, "<|endoftext|>", true}, {1, "<|tool|>", false}};
  file.tokens = {"<|endoftext|>", "<|tool|>"};
  for (const std::uint8_t byte : bytes_by_code_point()) {
    file.tokens.emplace_back(1, static_cast<char>(byte));
  }
  const auto id = [&](const std::string& bytes) {
    const auto at = std::find(file.tokens.begin(), file.tokens.end(), bytes);
    return static_cast<std::int32_t>(at - file.tokens.begin());
  };
  for (const auto& [left, right] : merges) {
    const std::int32_t merged = id(left + right);
    if (merged == std::ssize(file.tokens)) file.tokens.push_back(left + right);
    file.merges.push_back({id(left), id(right), merged});
  }
  return file;
}

const std::vector<std::pair<std::string, std::string>> kMerges = {
    {"t", "h"}, {"th", "e"}, {" ", "the"}, {"a", "a"}, {"aa", "aa"}, {"h", "e"}};

Tokenizer small() {
  return Tokenizer::parse(write_tokenizer_file(small_file(kMerges))).value();
}

std::vector<std::string> tokens_of(const Tokenizer& tokenizer,
                                   std::string_view text,
                                   bool special = false) {
  std::vector<std::string> tokens;
  for (const std::int32_t id : tokenizer.encode(text, special)) {
    tokens.emplace_back(tokenizer.token_bytes(id));
  }
  return tokens;
}

TEST(Tokenizer, MergesByRankLeftmostFirst) {
  const Tokenizer tokenizer = small();
  EXPECT_THAT(tokens_of(tokenizer, "the the"), ElementsAre("the", " the"));
  EXPECT_THAT(tokens_of(tokenizer, "she"), ElementsAre("s", "he"));
  EXPECT_THAT(tokens_of(tokenizer, "aaaaaaa"), ElementsAre("aaaa", "aa", "a"));
  EXPECT_THAT(tokens_of(tokenizer, std::string(23, 'a')),  // the heap path, past 16 bytes
              ElementsAre("aaaa", "aaaa", "aaaa", "aaaa", "aaaa", "aa", "a"));
  EXPECT_EQ(tokenizer.eod_id(), 0);
  EXPECT_EQ(tokenizer.vocab_size(), 2 + 256 + 6);
}

TEST(Tokenizer, RoundTripsAnyBytes) {
  const Tokenizer tokenizer = small();
  std::string bytes;
  for (int i = 0; i < 5000; ++i)
    bytes.push_back(static_cast<char>(i * 31 % 256));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)).value(), bytes);
  EXPECT_TRUE(tokenizer.encode("").empty());
  EXPECT_EQ(tokenizer.encode(std::string_view("\0", 1)).size(), 1U);
}

TEST(Tokenizer, ShortAndLongPathsAgree) {
  const Tokenizer tokenizer = small();
  std::uint64_t state = 3;
  for (int round = 0; round < 500; ++round) {
    // The same letters as one long piece, and as themselves around a piece border.
    std::string word;
    for (int i = 0; i < 12; ++i) {
      state = state * 6364136223846793005ULL + 1;
      word.push_back("athe"[(state >> 40) % 4]);
    }
    std::vector<std::string> expected = tokens_of(tokenizer, word);
    // "zzzzzz" takes part in no merge, so the merges of the word do not change.
    std::vector<std::string> longer = tokens_of(tokenizer, "zzzzzz" + word + "zzzzzz");
    longer.erase(longer.begin(), longer.begin() + 6);
    longer.resize(longer.size() - 6);
    EXPECT_EQ(longer, expected) << word;
  }
}

TEST(Tokenizer, SpecialTokensOnlyWhenAsked) {
  const Tokenizer tokenizer = small();
  EXPECT_EQ(tokenizer.encode("<|endoftext|>", true), std::vector<std::int32_t>{0});
  const auto plain = tokenizer.encode("<|endoftext|>");
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 0), 0);
  EXPECT_EQ(tokenizer.decode(plain).value(), "<|endoftext|>");
  EXPECT_THAT(tokens_of(tokenizer, "the<|tool|>the"), ElementsAre("the", "<|tool|>", "the"));
}

TEST(Tokenizer, DecodeNamesAnIdOutOfRange) {
  const Result<std::string> text = small().decode(std::vector<std::int32_t>{5, 999});
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().message, HasSubstr("id 999 at position 1: expected 0 to 263"));
  EXPECT_FALSE(small().decode(std::vector<std::int32_t>{-1}));
}

TEST(Tokenizer, ReadsBothFormsOfMergesWithEqualIds) {
  const TokenizerFile file = small_file(kMerges);
  const Tokenizer pairs = Tokenizer::parse(write_tokenizer_file(file, false)).value();
  const Tokenizer strings = Tokenizer::parse(write_tokenizer_file(file, true)).value();
  EXPECT_EQ(pairs.encode("the aa heathen"), strings.encode("the aa heathen"));
  EXPECT_NE(pairs.sha256(), strings.sha256());
}

TEST(Tokenizer, FingerprintIgnoresLayoutOfTheFile) {
  const std::string text = write_tokenizer_file(small_file(kMerges));
  EXPECT_EQ(Tokenizer::parse(json::parse(text).dump()).value().sha256(),
            Tokenizer::parse(text).value().sha256());
}

TEST(Tokenizer, WholePiecesWinWhenMergesAreIgnored) {
  TokenizerFile file = small_file(kMerges);
  file.tokens.push_back("zebra");  // no merge leads there
  const Tokenizer merged = Tokenizer::parse(write_tokenizer_file(file)).value();
  EXPECT_EQ(merged.encode("zebra").size(), 5U);
  file.ignore_merges = true;
  const Tokenizer whole = Tokenizer::parse(write_tokenizer_file(file)).value();
  EXPECT_THAT(tokens_of(whole, "zebra"), ElementsAre("zebra"));
}

TEST(Tokenizer, ComposesAndPrefixesWhenTheFileSaysSo) {
  TokenizerFile file = small_file(kMerges);
  file.nfc = true;
  const Tokenizer composing = Tokenizer::parse(write_tokenizer_file(file)).value();
  EXPECT_EQ(composing.decode(composing.encode("e\u0301 \xFF")).value(), "\u00e9 \xFF");
  file.add_prefix_space = true;
  const Tokenizer prefixing = Tokenizer::parse(write_tokenizer_file(file)).value();
  EXPECT_THAT(tokens_of(prefixing, "the"), ElementsAre(" the"));
}

// Quadratic work would take hours here: ctest's limit ends it.
TEST(Tokenizer, LongRunsTakeNoMoreThanNLogN) {
  EXPECT_EQ(small().encode(std::string(1 << 20, 'a')).size(), std::size_t{1} << 18);
}

TEST(Tokenizer, ThreadsAndTokenizersDoNotMixTheirCaches) {
  const Tokenizer a = small();
  const Tokenizer b = Tokenizer::parse(write_tokenizer_file(small_file({{"h", "e"}}))).value();
  const auto expect_a = a.encode("the aaaa the");
  const auto expect_b = b.encode("the aaaa the");
  ASSERT_NE(expect_a, expect_b);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        wrong += a.encode("the aaaa the") != expect_a ? 1 : 0;
        wrong += b.encode("the aaaa the") != expect_b ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

// One damage at a time; each gives one sentence that names the place.
TEST(TokenizerFile, RefusesHostileFilesByName) {
  const json good = json::parse(write_tokenizer_file(small_file(kMerges)));
  const auto error = [&](const std::function<void(json&)>& damage) {
    json file = good;
    damage(file);
    const Result<Tokenizer> tokenizer = Tokenizer::parse(file.dump());
    return tokenizer ? std::string("accepted") : tokenizer.error().message;
  };
  EXPECT_EQ(error([](json&) {}), "accepted");
  EXPECT_THAT(error([](json& f) { f = json::array(); }), HasSubstr("has no model"));
  EXPECT_THAT(error([](json& f) { f.erase("model"); }), HasSubstr("has no model"));
  EXPECT_THAT(error([](json& f) { f["model"]["type"] = "Unigram"; }),
              HasSubstr("expected \"BPE\""));
  EXPECT_THAT(error([](json& f) { f["model"]["dropout"] = 0.1; }), HasSubstr("dropout"));
  EXPECT_THAT(error([](json& f) { f["model"]["byte_fallback"] = true; }),
              HasSubstr("pre_tokenizer"));  // bytes are no characters there
  EXPECT_THAT(error([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }),
              HasSubstr("suffix"));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"] = json::array(); }),
              HasSubstr("model.vocab"));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"]["the"] = -1; }), HasSubstr("id -1"));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"]["the"] = 1 << 20; }),
              HasSubstr("id 1048576"));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"]["the"] = 5; }),
              HasSubstr("id 5 is given twice"));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"]["the"] = "x"; }), HasSubstr("id \"x\""));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"]["\u4e2d"] = 900; }),
              HasSubstr("byte-level alphabet"));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"][std::string(5000, 'a')] = 900; }),
              HasSubstr("byte-level alphabet"));
  EXPECT_THAT(error([](json& f) { f["model"]["vocab"].erase("q"); }),
              HasSubstr("no token for 1 of the 256"));
  EXPECT_THAT(error([](json& f) { f["model"]["merges"][1] = "a b c"; }),
              HasSubstr("model.merges[1]"));
  EXPECT_THAT(error([](json& f) {
                f["model"]["merges"][1] = {"q", "q"};
              }),
              HasSubstr("model.merges[1]"));
  EXPECT_THAT(error([](json& f) { f["model"]["merges"] = 3; }), HasSubstr("model.merges"));
  EXPECT_THAT(error([](json& f) { f["added_tokens"][0]["id"] = -4; }),
              HasSubstr("added_tokens[0].id"));
  EXPECT_THAT(error([](json& f) { f["added_tokens"][0]["content"] = ""; }),
              HasSubstr("added_tokens[0]"));
  EXPECT_THAT(error([](json& f) { f["added_tokens"][0]["lstrip"] = true; }), HasSubstr("lstrip"));
  EXPECT_THAT(error([](json& f) { f["added_tokens"][1]["id"] = 0; }), HasSubstr("given twice"));
  EXPECT_THAT(error([](json& f) { f["added_tokens"][0] = 7; }), HasSubstr("added_tokens[0]"));
  EXPECT_THAT(error([](json& f) {
                f["normalizer"] = {{"type", "Lowercase"}};
              }),
              HasSubstr("normalizer"));
  EXPECT_THAT(error([](json& f) { f["pre_tokenizer"] = nullptr; }), HasSubstr("pre_tokenizer"));
  EXPECT_THAT(error([](json& f) {
                f["pre_tokenizer"] = {{"type", "Whitespace"}};
              }),
              HasSubstr("pre_tokenizer"));
  EXPECT_THAT(
      error([](json& f) {
        f["pre_tokenizer"] = {
            {"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}},
              {{"type", "ByteLevel"}, {"use_regex", false}, {"add_prefix_space", false}}}}};
      }),
      HasSubstr("is not known"));
  const auto raw = [](const std::string& text) {
    const Result<Tokenizer> tokenizer = Tokenizer::parse(text);
    return tokenizer ? std::string("accepted") : tokenizer.error().message;
  };
  EXPECT_THAT(raw(""), HasSubstr("not JSON"));
  EXPECT_THAT(raw("\xff\xfe garbage"), HasSubstr("not JSON"));
  EXPECT_THAT(raw(std::string(1 << 20, '[')), HasSubstr("nests deeper"));
  const std::string text = good.dump();
  for (std::size_t size = 0; size < text.size(); size += 97) {  // cut anywhere
    EXPECT_NE(raw(text.substr(0, size)), "accepted");
  }
}

TEST(Tokenizer, LoadsAFileOrTheFolderThatHoldsIt) {
  const test::TempDir dir;
  const Result<Tokenizer> empty = Tokenizer::load(dir.path());
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, ErrorCode::not_found);
  EXPECT_THAT(empty.error().message, HasSubstr("a folder without tokenizer.json"));
  test::write_all(dir / "tokenizer.json", "{\n  \"model\" 3}");
  const Result<Tokenizer> broken = Tokenizer::load(dir.path());
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message, (dir / "tokenizer.json").string() +
                                        ": not JSON at line 2, column 11: unexpected number "
                                        "literal");
  EXPECT_THAT(broken.error().hint, HasSubstr("teragpt tok train"));
}

// Which tokens begin and end texts is said beside the tokenizer.
TEST(Tokenizer, SpecialTokensComeFromTheFilesBesideIt) {
  const test::TempDir dir;
  const auto with = [&dir](const std::string& generation, const std::string& config) {
    const auto put = [&dir](const char* name, const std::string& text) {
      std::filesystem::remove(dir / name);
      if (!text.empty()) test::write_all(dir / name, text);
    };
    put("generation_config.json", generation);
    put("tokenizer_config.json", config);
    return Tokenizer::load(dir.path());
  };
  test::write_all(dir / "tokenizer.json", write_tokenizer_file(small_file(kMerges)));
  const auto alone = with("", "");
  EXPECT_EQ(alone->eod_id(), 0);
  EXPECT_EQ(alone->start_id(), 0) << "no token begins texts: the one that ends them";
  EXPECT_TRUE(alone->ends_text(0) && !alone->ends_text(1) && !alone->ends_text(-1));

  // Ids of a configuration left at its defaults may lie beyond the vocabulary.
  const auto ids = with(R"({"bos_token_id": 7, "eos_token_id": [1, 9, 50256]})", "");
  EXPECT_EQ(ids->eod_id(), 1);
  EXPECT_EQ(ids->start_id(), 7);
  EXPECT_TRUE(ids->ends_text(1) && ids->ends_text(9) && !ids->ends_text(50256));
  EXPECT_FALSE(ids->ends_text(0)) << "<|endoftext|> is none of those named";

  const auto names = with(R"({"bos_token_id": 7, "eos_token_id": 0})",
                          R"({"bos_token": null, "eos_token": {"content": "<|tool|>"}})");
  EXPECT_EQ(names->eod_id(), 1);
  EXPECT_EQ(names->start_id(), 1) << "the tokenizer says that none begins texts";
  EXPECT_TRUE(names->ends_text(0) && names->ends_text(1));
  EXPECT_EQ(with("", R"({"bos_token": "<|tool|>"})")->start_id(), 1);

  const auto wrong = with(R"({"eos_token_id": "</s>"})", "");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message,
            (dir / "generation_config.json").string() +
                ": eos_token_id is \"</s>\", expected the id of a token or a list of ids");
  EXPECT_THAT(with("", "[").error().message, HasSubstr("tokenizer_config.json: not JSON"));
}

TEST(Tokenizer, SentencePieceModelsAreRefusedWithWhatToDo) {
  const test::TempDir dir;
  test::write_all(dir / "tokenizer.model", "\n\x0e\n\x05<unk>");
  for (const std::filesystem::path& path : {dir.path(), dir / "tokenizer.model"}) {
    const Result<Tokenizer> tokenizer = Tokenizer::load(path);
    ASSERT_FALSE(tokenizer);
    EXPECT_EQ(tokenizer.error().code, ErrorCode::unsupported);
    EXPECT_EQ(tokenizer.error().message, (dir / "tokenizer.model").string() +
                                             ": SentencePiece models are not read, only "
                                             "tokenizer.json");
    EXPECT_THAT(tokenizer.error().hint, HasSubstr("save_pretrained"));
  }
}

TEST(ByteAlphabet, MapsEveryByteThereAndBack) {
  std::string bytes;
  for (int b = 0; b < 256; ++b)
    bytes.push_back(static_cast<char>(b));
  EXPECT_EQ(alphabet_to_bytes(bytes_to_alphabet(bytes)).value(), bytes);
  EXPECT_EQ(bytes_to_alphabet(" \n"), "ĠĊ");  // as GPT-2 writes them
  EXPECT_EQ(bytes_by_code_point().front(), '!');
  EXPECT_EQ(bytes_by_code_point()[94 + 12 + 82], 0);  // U+0100 stands for byte 0
}

}  // namespace
}  // namespace tera::data
