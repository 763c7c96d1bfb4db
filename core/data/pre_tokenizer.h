// Cuts text into the pieces that byte-pair merges never cross. Hand-written scanners of the named
// patterns, linear in the text; any bytes are accepted.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace tera::data {

enum class PreTokenizerKind : std::uint8_t { gpt2, llama3, qwen2 };

// The regular expression each scanner stands for, as tokenizer.json names it.
std::string_view pre_tokenizer_pattern(PreTokenizerKind kind);
std::string_view pre_tokenizer_name(PreTokenizerKind kind);
std::optional<PreTokenizerKind> pre_tokenizer_from_name(std::string_view name);
std::optional<PreTokenizerKind> pre_tokenizer_from_pattern(std::string_view pattern);

// Yields the pieces of a text in order; together they are the text.
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

  PreTokenizerKind kind_;
  const char* at_;
  const char* end_;
};

}  // namespace tera::data
