#include "core/data/unicode_class.h"

#include <vector>

#include <utf8proc.h>

namespace tera::data {
namespace {

constexpr std::array<std::uint8_t, 128> make_ascii() {
  std::array<std::uint8_t, 128> table{};
  for (std::size_t c = 0; c < table.size(); ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool number = c >= '0' && c <= '9';
    const bool newline = c == '\r' || c == '\n';
    const bool space = c == ' ' || c == '\t' || c == '\v' || c == '\f';
    table[c] = letter    ? class_letter
               : number  ? class_number
               : newline ? class_newline
               : space   ? class_space
                         : class_other;
  }
  return table;
}

struct ClassRange {
  char32_t first, last;
  std::uint8_t kind;  // as in ClassTable
};

// Letters (1) and numbers (2) that Unicode 15.0 to 16.0 added, so that the classes are those
// of 16.0 with an older utf8proc too. Source: Unicode Character Database 16.0, general categories.
constexpr ClassRange kAddedSince14[] = {
    {0x01C89, 0x01C8A, 1}, {0x0A7CB, 0x0A7CD, 1}, {0x0A7DA, 0x0A7DC, 1}, {0x105C0, 0x105F3, 1},
    {0x10D40, 0x10D49, 2}, {0x10D4A, 0x10D65, 1}, {0x10D6F, 0x10D85, 1}, {0x10EC2, 0x10EC4, 1},
    {0x1123F, 0x11240, 1}, {0x11380, 0x11389, 1}, {0x1138B, 0x1138B, 1}, {0x1138E, 0x1138E, 1},
    {0x11390, 0x113B5, 1}, {0x113B7, 0x113B7, 1}, {0x113D1, 0x113D1, 1}, {0x113D3, 0x113D3, 1},
    {0x116D0, 0x116E3, 2}, {0x11BC0, 0x11BE0, 1}, {0x11BF0, 0x11BF9, 2}, {0x11F02, 0x11F02, 1},
    {0x11F04, 0x11F10, 1}, {0x11F12, 0x11F33, 1}, {0x11F50, 0x11F59, 2}, {0x1342F, 0x1342F, 1},
    {0x13441, 0x13446, 1}, {0x13460, 0x143FA, 1}, {0x16100, 0x1611D, 1}, {0x16130, 0x16139, 2},
    {0x16D40, 0x16D6C, 1}, {0x16D70, 0x16D79, 2}, {0x18CFF, 0x18CFF, 1}, {0x1B132, 0x1B132, 1},
    {0x1B155, 0x1B155, 1}, {0x1CCF0, 0x1CCF9, 2}, {0x1D2C0, 0x1D2D3, 2}, {0x1DF25, 0x1DF2A, 1},
    {0x1E030, 0x1E06D, 1}, {0x1E4D0, 0x1E4EB, 1}, {0x1E4F0, 0x1E4F9, 2}, {0x1E5D0, 0x1E5ED, 1},
    {0x1E5F0, 0x1E5F0, 1}, {0x1E5F1, 0x1E5FA, 2}, {0x2B739, 0x2B739, 1}, {0x2EBF0, 0x2EE5D, 1},
    {0x31350, 0x323AF, 1}};

// Two bits per code point: 0 other, 1 letter, 2 number, 3 space.
class ClassTable {
 public:
  ClassTable() : bits_((0x110000 + 3) / 4) {
    for (utf8proc_int32_t c = 0x80; c < 0x110000; ++c)
      set(static_cast<char32_t>(c), kind_of(c));
    for (const ClassRange& range : kAddedSince14) {
      for (char32_t c = range.first; c <= range.last; ++c)
        set(c, range.kind);
    }
  }
  std::uint8_t operator[](char32_t c) const {
    constexpr std::uint8_t kClasses[4] = {class_other, class_letter, class_number, class_space};
    return kClasses[(bits_[c / 4] >> (c % 4 * 2)) & 3];
  }

 private:
  static unsigned kind_of(utf8proc_int32_t c) {
    switch (utf8proc_category(c)) {
      case UTF8PROC_CATEGORY_LU:
      case UTF8PROC_CATEGORY_LL:
      case UTF8PROC_CATEGORY_LT:
      case UTF8PROC_CATEGORY_LM:
      case UTF8PROC_CATEGORY_LO:
        return 1;
      case UTF8PROC_CATEGORY_ND:
      case UTF8PROC_CATEGORY_NL:
      case UTF8PROC_CATEGORY_NO:
        return 2;
      case UTF8PROC_CATEGORY_ZS:
      case UTF8PROC_CATEGORY_ZL:
      case UTF8PROC_CATEGORY_ZP:
        return 3;
      default:
        return c == 0x85 ? 3 : 0;  // White_Space is Zs, Zl, Zp, NEL and ASCII controls
    }
  }
  void set(char32_t c, unsigned kind) {
    const unsigned shift = c % 4 * 2;
    bits_[c / 4] = static_cast<std::uint8_t>((bits_[c / 4] & ~(3U << shift)) | (kind << shift));
  }
  std::vector<std::uint8_t> bits_;
};

bool continuation(const char* p) {
  return (static_cast<unsigned char>(*p) & 0xC0) == 0x80;
}
char32_t low6(const char* p) {
  return static_cast<unsigned char>(*p) & 0x3FU;
}

}  // namespace

const std::array<std::uint8_t, 128> kAsciiClasses = make_ascii();

DecodedChar decode_non_ascii(const char* p, const char* end) {
  static const ClassTable kTable;  // made on the first character that needs it
  const auto lead = static_cast<unsigned char>(*p);
  const std::ptrdiff_t room = end - p;
  char32_t c = 0;
  std::uint8_t size = 0;
  if (lead >= 0xC2 && lead <= 0xDF && room >= 2 && continuation(p + 1)) {
    c = (static_cast<char32_t>(lead & 0x1F) << 6) | low6(p + 1);
    size = 2;
  } else if ((lead & 0xF0) == 0xE0 && room >= 3 && continuation(p + 1) && continuation(p + 2)) {
    c = (static_cast<char32_t>(lead & 0x0F) << 12) | (low6(p + 1) << 6) | low6(p + 2);
    size = c >= 0x800 && (c < 0xD800 || c > 0xDFFF) ? 3 : 0;
  } else if (lead >= 0xF0 && lead <= 0xF4 && room >= 4 && continuation(p + 1) &&
             continuation(p + 2) && continuation(p + 3)) {
    c = (static_cast<char32_t>(lead & 0x07) << 18) | (low6(p + 1) << 12) | (low6(p + 2) << 6) |
        low6(p + 3);
    size = c >= 0x10000 && c <= 0x10FFFF ? 4 : 0;
  }
  if (size == 0) return {};
  return {kTable[c], size, c};
}

std::size_t valid_utf8_prefix(std::string_view text) {
  const char* const end = text.data() + text.size();
  const char* p = text.data();
  while (p < end) {
    if (static_cast<unsigned char>(*p) < 0x80) {
      ++p;
      continue;
    }
    const DecodedChar c = decode_non_ascii(p, end);
    if (c.size == 1) break;
    p += c.size;
  }
  return static_cast<std::size_t>(p - text.data());
}

void append_utf8(std::string& out, char32_t c) {
  const auto push = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | (c >> 6));
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | (c >> 12));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | (c >> 18));
    push(0x80 | ((c >> 12) & 0x3F));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

std::string unicode_version() {
  return utf8proc_unicode_version();
}

}  // namespace tera::data
