#include "core/infer/text_stream.h"

#include <gtest/gtest.h>

namespace tera::infer {
namespace {

// What comes out after each piece, then at the end.
std::vector<std::string> shown(const std::vector<std::string>& stops,
                               const std::vector<std::string>& pieces) {
  TextStream stream(stops);
  std::vector<std::string> out;
  for (const std::string& piece : pieces)
    out.push_back(stream.add(piece));
  out.push_back(stream.finish());
  return out;
}

using Texts = std::vector<std::string>;

TEST(TextStream, PassesOnWholeCharacters) {
  EXPECT_EQ(shown({}, {"a", "\xC3", "\xA9 \xE2\x82", "\xAC", "\xF0", "\x9D", "\x84", "\x9E!"}),
            (Texts{"a", "", "\xC3\xA9 ", "\xE2\x82\xAC", "", "", "", "\xF0\x9D\x84\x9E!", ""}));
}

TEST(TextStream, BytesOfNoCharacterBecomeReplacements) {
  EXPECT_EQ(shown({}, {"a\xFF", "b\x80"}), (Texts{"a\uFFFD", "b\uFFFD", ""}));
  EXPECT_EQ(shown({}, {"a\xC3", "b"}), (Texts{"a", "\uFFFDb", ""}));
  EXPECT_EQ(shown({}, {"a\xE2\x82"}), (Texts{"a", "\uFFFD\uFFFD"}))
      << "half a character at the end";
}

TEST(TextStream, EndsBeforeAStopStringWhereverTokensEnd) {
  EXPECT_EQ(shown({"###"}, {"ab#", "#", "#cd"}), (Texts{"ab", "", "", ""}));
  EXPECT_EQ(shown({"###"}, {"ab#", "#", "cd"}), (Texts{"ab", "", "##cd", ""}));
  EXPECT_EQ(shown({"###"}, {"ab##"}), (Texts{"ab", "##"})) << "begun, but never finished";
  EXPECT_EQ(shown({"aab"}, {"a", "a", "a", "b"}), (Texts{"", "", "a", "", ""}));
  EXPECT_EQ(shown({"\n\n", "\nQ:"}, {"A: x\n", "Q", ": y"}), (Texts{"A: x", "", "", ""}));
  EXPECT_EQ(shown({"\xC3\xA9"}, {"a\xC3", "\xA9z"}), (Texts{"a", "", ""}));
}

TEST(TextStream, TheFirstOfSeveralStopStringsEndsIt) {
  TextStream stream(Texts{"late", "b"});
  EXPECT_EQ(stream.add("ab late"), "a");
  EXPECT_TRUE(stream.stopped());
  EXPECT_EQ(stream.add("more"), "");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace tera::infer
