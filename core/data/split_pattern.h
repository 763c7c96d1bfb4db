// The regular expressions that `Split` pre-tokenizers cut text by, as far as they are runs of
// characters of a set. Each is matched in time linear in the text: no backtracking.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace tera::data {

// A set of characters: "[A-Za-zµ\p{L}]", "[^\s]", "\p{N}".
class CharSet {
 public:
  // Takes the set that the pattern begins with off its front. Nothing: it begins with none, or with
  // one that is not understood.
  static std::optional<CharSet> take(std::string_view& pattern);
  // Whether the character at p (p < end) is in it; size: its bytes. A byte that belongs to no
  // character is in no set.
  bool contains(const char* p, const char* end, int& size) const;

 private:
  bool take_item(std::string_view& pattern);
  bool take_class(std::string_view& pattern);
  void add(char32_t first, char32_t last);
  void finish();
  bool contains(char32_t c) const;

  std::vector<std::pair<char32_t, char32_t>> ranges_;  // sorted by their first
  std::uint8_t classes_ = 0;                           // CharClass and MarkClass bits
  bool negated_ = false;
  std::array<bool, 128> ascii_{};
};

class SplitPattern {
 public:
  // Forms: S, S+, S{1,k} and \s?S+ where S is a set; \s+$; and the alternation that DeepSeek-V3
  // splits words by. Nothing when the pattern is none of them.
  static std::optional<SplitPattern> parse(std::string_view pattern);

  // The first match at or after p in a text that ends at `end` (the end twice when there is none).
  struct Match {
    const char* begin;
    const char* end;
  };
  Match find(const char* p, const char* end) const;

 private:
  enum class Form : std::uint8_t { run, spaces_at_end, deepseek_v3 };
  const char* match_at(const char* p, const char* end, int size) const;

  Form form_ = Form::run;
  bool space_before_ = false;  // \s?
  int most_ = 0;               // characters of a run; 0: any number
  CharSet set_;
};

}  // namespace tera::data
