#include "core/data/unicode_class.h"

#include <algorithm>
#include <iterator>
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
  std::uint8_t kind;
};

// Letters (1 as in ClassTable) and numbers (2) that Unicode 15.0 to 16.0 added, so that the classes
// are those of 16.0 with an older utf8proc too. Source: Unicode Character Database 16.0, general
// categories.
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

// Marks, punctuation and symbols of the same versions.
constexpr ClassRange kSignsSince14[] = {
    {0x00897, 0x00897, class_mark},        {0x00CF3, 0x00CF3, class_mark},
    {0x00ECE, 0x00ECE, class_mark},        {0x01B4E, 0x01B4F, class_punctuation},
    {0x01B7F, 0x01B7F, class_punctuation}, {0x02427, 0x02429, class_symbol},
    {0x02FFC, 0x02FFF, class_symbol},      {0x031E4, 0x031E5, class_symbol},
    {0x031EF, 0x031EF, class_symbol},      {0x10D69, 0x10D6D, class_mark},
    {0x10D6E, 0x10D6E, class_punctuation}, {0x10D8E, 0x10D8F, class_symbol},
    {0x10EFC, 0x10EFF, class_mark},        {0x11241, 0x11241, class_mark},
    {0x113B8, 0x113C0, class_mark},        {0x113C2, 0x113C2, class_mark},
    {0x113C5, 0x113C5, class_mark},        {0x113C7, 0x113CA, class_mark},
    {0x113CC, 0x113D0, class_mark},        {0x113D2, 0x113D2, class_mark},
    {0x113D4, 0x113D5, class_punctuation}, {0x113D7, 0x113D8, class_punctuation},
    {0x113E1, 0x113E2, class_mark},        {0x11B00, 0x11B09, class_punctuation},
    {0x11BE1, 0x11BE1, class_punctuation}, {0x11F00, 0x11F01, class_mark},
    {0x11F03, 0x11F03, class_mark},        {0x11F34, 0x11F3A, class_mark},
    {0x11F3E, 0x11F42, class_mark},        {0x11F43, 0x11F4F, class_punctuation},
    {0x11F5A, 0x11F5A, class_mark},        {0x13440, 0x13440, class_mark},
    {0x13447, 0x13455, class_mark},        {0x1611E, 0x1612F, class_mark},
    {0x16D6D, 0x16D6F, class_punctuation}, {0x1CC00, 0x1CCEF, class_symbol},
    {0x1CD00, 0x1CEB3, class_symbol},      {0x1E08F, 0x1E08F, class_mark},
    {0x1E4EC, 0x1E4EF, class_mark},        {0x1E5EE, 0x1E5EF, class_mark},
    {0x1E5FF, 0x1E5FF, class_punctuation}, {0x1F6DC, 0x1F6DC, class_symbol},
    {0x1F774, 0x1F776, class_symbol},      {0x1F77B, 0x1F77F, class_symbol},
    {0x1F7D9, 0x1F7D9, class_symbol},      {0x1F8B2, 0x1F8BB, class_symbol},
    {0x1F8C0, 0x1F8C1, class_symbol},      {0x1FA75, 0x1FA77, class_symbol},
    {0x1FA87, 0x1FA89, class_symbol},      {0x1FA8F, 0x1FA8F, class_symbol},
    {0x1FAAD, 0x1FAAF, class_symbol},      {0x1FABB, 0x1FABF, class_symbol},
    {0x1FAC6, 0x1FAC6, class_symbol},      {0x1FACE, 0x1FACF, class_symbol},
    {0x1FADA, 0x1FADC, class_symbol},      {0x1FADF, 0x1FADF, class_symbol},
    {0x1FAE8, 0x1FAE9, class_symbol},      {0x1FAF7, 0x1FAF8, class_symbol},
    {0x1FBCB, 0x1FBEF, class_symbol}};

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

const ClassTable& class_table() {
  static const ClassTable kTable;  // made on the first character that needs it
  return kTable;
}

// The part of class_other.
std::uint8_t sign_class(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return class_mark;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return class_punctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return class_symbol;
    default:
      break;
  }
  const auto* const added =
      std::lower_bound(std::begin(kSignsSince14), std::end(kSignsSince14), c,
                       [](const ClassRange& range, char32_t value) { return range.last < value; });
  const bool found = added != std::end(kSignsSince14) && added->first <= c;
  return found ? added->kind : std::uint8_t{class_other};
}

bool continuation(const char* p) {
  return (static_cast<unsigned char>(*p) & 0xC0) == 0x80;
}
char32_t low6(const char* p) {
  return static_cast<unsigned char>(*p) & 0x3FU;
}

}  // namespace

const std::array<std::uint8_t, 128> kAsciiClasses = make_ascii();

DecodedChar decode_non_ascii(const char* p, const char* end) {
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
  return {class_table()[c], size, c};
}

std::uint8_t full_class(char32_t c) {
  const std::uint8_t base = c < 0x80 ? kAsciiClasses[c] : class_table()[c];
  return base == class_other ? sign_class(c) : base;
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
