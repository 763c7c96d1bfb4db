// Cuts text into the pieces that byte-pair merges never cross. Hand-written scanners of the named
// patterns, linear in the text; any bytes are accepted.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/data/split_pattern.h"

namespace tera::data {

// gpt2, llama3 and qwen2 are patterns; splits are several patterns one after the other. Text with
// marks for spaces is cut before each word with its marks, before each mark, or not at all.
enum class PreTokenizerKind : std::uint8_t {
  gpt2,
  llama3,
  qwen2,
  splits,
  marked_words,
  each_mark,
  whole
};

// The regular expression each scanner stands for, as tokenizer.json names it; empty where it is not
// one.
std::string_view pre_tokenizer_pattern(PreTokenizerKind kind);
std::string_view pre_tokenizer_name(PreTokenizerKind kind);
std::optional<PreTokenizerKind> pre_tokenizer_from_name(std::string_view name);
std::optional<PreTokenizerKind> pre_tokenizer_from_pattern(std::string_view pattern);

// Yields the pieces of a text in order; together they are the text. Of every kind but splits.
class PieceScanner {
 public:
  PieceScanner(PreTokenizerKind kind, std::string_view text)
      : kind_(kind), at_(text.data()), end_(text.data() + text.size()) {}

  // The next piece; empty at the end.
  std::string_view next();

 private:
  const char* match_gpt2(const char* p) const;
  template <int kMaxDigits>
  const char* match_llama3(const char* p) const;
  const char* match_marked(const char* p, bool with_marks) const;

  PreTokenizerKind kind_;
  const char* at_;
  const char* end_;
};

// The same for splits: each cuts the pieces of those before it at its matches, which are pieces of
// their own. The patterns outlive it.
class SplitScanner {
 public:
  SplitScanner(std::span<const SplitPattern> splits, std::string_view text);

  // The next piece; empty at the end.
  std::string_view next();

 private:
  struct Level {
    const char* at = nullptr;  // what is left of the piece of the level before
    const char* end = nullptr;
    SplitPattern::Match match = {nullptr, nullptr};  // the first at or behind `at`
  };
  std::string_view next(std::size_t num_levels);

  std::span<const SplitPattern> splits_;
  std::vector<Level> levels_;
  std::string_view text_;  // not yet given to the first
};

}  // namespace tera::data
