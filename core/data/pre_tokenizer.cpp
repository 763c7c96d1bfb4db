#include "core/data/pre_tokenizer.h"

#include <array>
#include <utility>

#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

struct Named {
  PreTokenizerKind kind;
  std::string_view name;
  std::string_view pattern;
};

// Facts of the published tokenizers; the scanners below implement exactly these.
constexpr std::array<Named, 7> kNamed = {{
    {PreTokenizerKind::gpt2, "gpt2",
     R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"},
    {PreTokenizerKind::llama3, "llama3",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {PreTokenizerKind::qwen2, "qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
    {PreTokenizerKind::splits, "splits", ""},
    {PreTokenizerKind::marked_words, "marked_words", ""},
    {PreTokenizerKind::each_mark, "each_mark", ""},
    {PreTokenizerKind::whole, "whole", ""},
}};

inline DecodedChar char_at(const char* p, const char* end) {
  const auto byte = static_cast<unsigned char>(*p);
  if (byte < 0x80) return {kAsciiClasses[byte], 1, byte};
  return decode_non_ascii(p, end);
}

// Past the longest run of characters whose class is in `mask`.
inline const char* skip(const char* p, const char* end, int mask) {
  while (p < end) {
    const auto byte = static_cast<unsigned char>(*p);
    if (byte < 0x80) {
      if ((kAsciiClasses[byte] & mask) == 0) break;
      ++p;
    } else {
      const DecodedChar c = decode_non_ascii(p, end);
      if ((c.char_class & mask) == 0) break;
      p += c.size;
    }
  }
  return p;
}

constexpr int kSpaces = class_space | class_newline;

// \s+(?!\S)|\s+ at a white-space character: the run, less its last character when text follows and
// the run is longer than one.
const char* match_spaces(const char* p, const char* end) {
  const char* last = p;  // start of the last character of the run
  const char* q = p;
  while (q < end) {
    const DecodedChar c = char_at(q, end);
    if ((c.char_class & kSpaces) == 0) break;
    last = q;
    q += c.size;
  }
  return q == end || last == p ? q : last;
}

// Length of s, t, m, d, re, ve, ll after an apostrophe; 0 if none.
int contraction(const char* p, const char* end) {
  if (p == end) return 0;
  const char a = *p;
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 1;
  if (end - p < 2) return 0;
  const char b = p[1];
  const bool two = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
  return two ? 2 : 0;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

// The same without regard to case; U+017F folds to s.
int contraction_any_case(const char* p, const char* end) {
  if (p == end) return 0;
  if (end - p >= 2 && p[0] == '\xC5' && p[1] == '\xBF') return 2;
  const char folded[2] = {lower(p[0]), end - p >= 2 ? lower(p[1]) : '\0'};
  return contraction(folded, folded + (end - p >= 2 ? 2 : 1));
}

}  // namespace

std::string_view pre_tokenizer_pattern(PreTokenizerKind kind) {
  return kNamed[static_cast<std::size_t>(kind)].pattern;
}

std::string_view pre_tokenizer_name(PreTokenizerKind kind) {
  return kNamed[static_cast<std::size_t>(kind)].name;
}

std::optional<PreTokenizerKind> pre_tokenizer_from_name(std::string_view name) {
  for (const Named& named : kNamed) {
    if (named.name == name) return named.kind;
  }
  return std::nullopt;
}

std::optional<PreTokenizerKind> pre_tokenizer_from_pattern(std::string_view pattern) {
  for (const Named& named : kNamed) {
    if (!pattern.empty() && named.pattern == pattern) return named.kind;
  }
  return std::nullopt;
}

const char* PieceScanner::match_gpt2(const char* p) const {
  if (*p == '\'') {
    if (const int size = contraction(p + 1, end_); size > 0) return p + 1 + size;
  }
  const char* body = *p == ' ' && p + 1 < end_ ? p + 1 : p;
  const DecodedChar c = char_at(body, end_);
  if ((c.char_class & kSpaces) == 0) return skip(body + c.size, end_, c.char_class);
  return match_spaces(p, end_);
}

template <int kMaxDigits>
const char* PieceScanner::match_llama3(const char* p) const {
  if (*p == '\'') {
    if (const int size = contraction_any_case(p + 1, end_); size > 0) return p + 1 + size;
  }
  const DecodedChar c = char_at(p, end_);
  const char* const after = p + c.size;
  if (c.char_class == class_letter) return skip(after, end_, class_letter);
  if (c.char_class == class_number) {
    const char* q = after;
    for (int digits = 1; digits < kMaxDigits && q < end_; ++digits) {
      const DecodedChar next = char_at(q, end_);
      if (next.char_class != class_number) break;
      q += next.size;
    }
    return q;
  }
  DecodedChar next{.char_class = 0};
  if (after < end_) next = char_at(after, end_);
  if (c.char_class != class_newline && next.char_class == class_letter) {
    return skip(after + next.size, end_, class_letter);
  }
  if (c.char_class == class_other) {
    return skip(skip(after, end_, class_other), end_, class_newline);
  }
  if (*p == ' ' && next.char_class == class_other) {
    return skip(skip(after + next.size, end_, class_other), end_, class_newline);
  }
  // White space: up to and with the last newline of the run, if it has one.
  const char* last_newline = nullptr;
  for (const char* q = p; q < end_;) {
    const DecodedChar space = char_at(q, end_);
    if ((space.char_class & kSpaces) == 0) break;
    q += space.size;
    if (space.char_class == class_newline) last_newline = q;
  }
  return last_newline != nullptr ? last_newline : match_spaces(p, end_);
}

// Up to the next mark (UTF-8 E2 96 81) behind text, or behind the first character.
const char* PieceScanner::match_marked(const char* p, bool with_marks) const {
  const auto is_mark = [this](const char* q) {
    return end_ - q >= 3 && q[0] == '\xE2' && q[1] == '\x96' && q[2] == '\x81';
  };
  if (is_mark(p)) p += 3;
  while (with_marks && is_mark(p))
    p += 3;
  while (p < end_ && !is_mark(p))
    ++p;
  return p;
}

std::string_view PieceScanner::next() {
  if (at_ == end_) return {};
  const char* const begin = at_;
  switch (kind_) {
    case PreTokenizerKind::gpt2:
      at_ = match_gpt2(begin);
      break;
    case PreTokenizerKind::llama3:
      at_ = match_llama3<3>(begin);
      break;
    case PreTokenizerKind::qwen2:
      at_ = match_llama3<1>(begin);
      break;
    case PreTokenizerKind::marked_words:
      at_ = match_marked(begin, true);
      break;
    case PreTokenizerKind::each_mark:
      at_ = match_marked(begin, false);
      break;
    case PreTokenizerKind::splits:
    case PreTokenizerKind::whole:
      at_ = end_;
      break;
  }
  return {begin, static_cast<std::size_t>(at_ - begin)};
}

SplitScanner::SplitScanner(std::span<const SplitPattern> splits, std::string_view text)
    : splits_(splits), levels_(splits.size()), text_(text) {}

std::string_view SplitScanner::next() {
  return next(levels_.size());
}

// The next piece behind the first num_levels patterns.
std::string_view SplitScanner::next(std::size_t num_levels) {
  if (num_levels == 0) return std::exchange(text_, {});
  Level& level = levels_[num_levels - 1];
  const SplitPattern& split = splits_[num_levels - 1];
  if (level.at == level.end) {
    const std::string_view piece = next(num_levels - 1);
    if (piece.empty()) return {};
    level.at = piece.data();
    level.end = piece.data() + piece.size();
    level.match = split.find(level.at, level.end);
  } else if (level.at == level.match.end) {
    level.match = split.find(level.at, level.end);
  }
  const char* const begin = level.at;
  level.at = begin < level.match.begin ? level.match.begin : level.match.end;
  return {begin, static_cast<std::size_t>(level.at - begin)};
}

}  // namespace tera::data
