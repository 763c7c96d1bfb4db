// Classes of characters that pre-tokenizers split by, for ASCII by table and else from utf8proc.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace tera::data {

// Bits, so that a set of classes is one mask.
enum CharClass : std::uint8_t {
  class_letter = 1,   // \p{L}
  class_number = 2,   // \p{N}
  class_space = 4,    // \s: Unicode White_Space, CR and LF aside
  class_newline = 8,  // CR, LF
  class_other = 16,   // everything else, invalid bytes included
  // Parts of class_other, told apart by full_class alone.
  class_punctuation = 32,  // \p{P}
  class_symbol = 64,       // \p{S}
  class_mark = 128,        // \p{M}
};

struct DecodedChar {
  std::uint8_t char_class = class_other;
  std::uint8_t size = 1;  // bytes; 1 for an invalid byte
  char32_t code_point = 0xFFFD;
};

extern const std::array<std::uint8_t, 128> kAsciiClasses;

// The character at p (p < end) when its first byte is not ASCII.
DecodedChar decode_non_ascii(const char* p, const char* end);

// The class of a code point, with the parts of class_other.
std::uint8_t full_class(char32_t c);

// Bytes of the valid UTF-8 prefix of the text.
std::size_t valid_utf8_prefix(std::string_view text);
// Appends the code point, which must be a Unicode scalar value.
void append_utf8(std::string& out, char32_t code_point);
// "14.0.0": version of the character tables.
std::string unicode_version();

}  // namespace tera::data
