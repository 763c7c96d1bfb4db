#include "core/infer/encode_pair.h"

#include <gtest/gtest.h>

#include "tests/core/infer/test_models.h"

namespace tera::infer {
namespace {

using test::byte_tokenizer;
using test::kEndOfDocument;

using Tokens = std::vector<std::int32_t>;

Tokens ids(std::string_view text) {
  return byte_tokenizer().encode(text);
}

TEST(EncodePair, SpacesGoOverToTheContinuation) {
  const EncodedPair pair = encode_pair(byte_tokenizer(), "ab \n", "cd").value();
  EXPECT_EQ(pair.context, ids("ab"));
  EXPECT_EQ(pair.continuation, ids(" \ncd"));
  const EncodedPair start = encode_pair(byte_tokenizer(), " ", "cd").value();
  EXPECT_EQ(start.context, Tokens{kEndOfDocument});
  EXPECT_EQ(start.continuation, ids(" cd"));
  EXPECT_FALSE(encode_pair(byte_tokenizer(false), "", "cd").has_value());
  EXPECT_FALSE(encode_pair(byte_tokenizer(), "ab", "").has_value());
}

// As lm-evaluation-harness has it: the token that begins texts, not given twice.
TEST(EncodePair, AnEmptyContextIsTheTokenThatBeginsTexts) {
  const data::Tokenizer tokenizer = byte_tokenizer(true, {.bos = 'A', .eos = {'Z', 'Y'}});
  const EncodedPair pair = encode_pair(tokenizer, "", "cd").value();
  EXPECT_EQ(pair.context, Tokens{'A'});
  EXPECT_EQ(pair.continuation, ids("cd"));
  const EncodedPair twice = encode_pair(tokenizer, "", "Acd").value();
  EXPECT_EQ(twice.context, Tokens{'A'});
  EXPECT_EQ(twice.continuation, ids("cd"));
  const EncodedPair ended =
      encode_pair(byte_tokenizer(true, {.eos = {'Z', 'Y'}}), "", "cd").value();
  EXPECT_EQ(ended.context, Tokens{'Z'}) << "else the first that ends them";
}

TEST(RollingWindows, PredictEachTokenOnce) {
  const Tokens tokens = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<EncodedPair> windows = rolling_windows(tokens, 0, 3);
  ASSERT_EQ(windows.size(), 3U);
  EXPECT_EQ(windows[0].context, Tokens{0});
  EXPECT_EQ(windows[0].continuation, (Tokens{1, 2, 3}));
  EXPECT_EQ(windows[1].context, Tokens{3});
  EXPECT_EQ(windows[1].continuation, (Tokens{4, 5, 6}));
  EXPECT_EQ(windows[2].context, (Tokens{5, 6})) << "as much as the model reads";
  EXPECT_EQ(windows[2].continuation, (Tokens{7, 8}));
  EXPECT_EQ(rolling_windows(std::span(tokens).first(2), 0, 3).size(), 1U);
  EXPECT_TRUE(rolling_windows({}, 0, 3).empty());
}

}  // namespace
}  // namespace tera::infer
