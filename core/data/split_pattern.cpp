#include "core/data/split_pattern.h"

#include <algorithm>
#include <string>

#include "core/data/unicode_class.h"

namespace tera::data {
namespace {

constexpr int kSpaces = class_space | class_newline;
constexpr int kWordChars = class_letter | class_mark;
constexpr int kSigns = class_punctuation | class_symbol;

// Words, signs and spaces of DeepSeek-V3, after numbers and Chinese were cut out. A fact of the
// published tokenizer.
constexpr std::string_view kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct FullChar {
  int classes = class_other;
  int size = 1;
};

FullChar char_at(const char* p, const char* end) {
  const auto byte = static_cast<unsigned char>(*p);
  if (byte < 0x80) return {full_class(byte), 1};
  const DecodedChar c = decode_non_ascii(p, end);
  if (c.size == 1) return {class_other, 1};  // no character
  return {full_class(c.code_point), c.size};
}

// Past the longest run of characters of these classes.
const char* skip(const char* p, const char* end, int classes) {
  while (p < end) {
    const FullChar c = char_at(p, end);
    if ((c.classes & classes) == 0) break;
    p += c.size;
  }
  return p;
}

bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Literal line ends as the files hold them, in the form of the constants above.
std::string with_escapes(std::string_view pattern) {
  std::string escaped;
  for (const char c : pattern)
    escaped += c == '\r' ? "\\r" : c == '\n' ? "\\n" : std::string(1, c);
  return escaped;
}

// kDeepSeekV3 at p; p itself when it does not match there.
const char* match_deepseek_v3(const char* p, const char* end) {
  const FullChar c = char_at(p, end);
  const char* const after = p + c.size;
  const FullChar next = after < end ? char_at(after, end) : FullChar{0, 0};
  const bool ascii_sign = c.size == 1 && (c.classes & kSigns) != 0;
  if (ascii_sign && after < end && is_ascii_letter(*after)) {
    const char* q = after;
    while (q < end && is_ascii_letter(*q))
      ++q;
    return q;
  }
  const bool before_word = (c.classes & (class_newline | class_letter | kSigns)) == 0;
  if (before_word && (next.classes & kWordChars) != 0) return skip(after, end, kWordChars);
  if ((c.classes & kWordChars) != 0) return skip(after, end, kWordChars);
  if ((c.classes & kSigns) != 0) return skip(skip(after, end, kSigns), end, class_newline);
  if (*p == ' ' && (next.classes & kSigns) != 0)
    return skip(skip(after, end, kSigns), end, class_newline);
  if ((c.classes & kSpaces) == 0) return p;
  // White space: up to and with the last line end of the run, else all but the last before text.
  const char* last_newline = nullptr;
  const char* last = p;
  const char* q = p;
  while (q < end) {
    const FullChar space = char_at(q, end);
    if ((space.classes & kSpaces) == 0) break;
    last = q;
    q += space.size;
    if (space.classes == class_newline) last_newline = q;
  }
  if (last_newline != nullptr) return last_newline;
  return q == end || last == p ? q : last;
}

// White space at p up to the end of the text or of a line; p when something else follows.
const char* match_spaces_at_end(const char* p, const char* end) {
  const char* const q = skip(p, end, kSpaces);
  if (q == end) return q;
  const char* r = q;
  while (r > p + 1 && *(r - 1) != '\n')
    --r;
  return r > p + 1 ? r - 1 : p;
}

}  // namespace

void CharSet::add(char32_t first, char32_t last) {
  ranges_.emplace_back(first, last);
}

// \p{L} and its like, and \s.
bool CharSet::take_class(std::string_view& pattern) {
  constexpr std::pair<std::string_view, int> kClasses[] = {
      {"\\p{L}", class_letter}, {"\\p{N}", class_number}, {"\\p{P}", class_punctuation},
      {"\\p{S}", class_symbol}, {"\\p{M}", class_mark},   {"\\s", kSpaces}};
  for (const auto& [name, bits] : kClasses) {
    if (!pattern.starts_with(name)) continue;
    classes_ = static_cast<std::uint8_t>(classes_ | bits);
    pattern.remove_prefix(name.size());
    return true;
  }
  return false;
}

// A character, a range or a class inside brackets.
bool CharSet::take_item(std::string_view& pattern) {
  if (take_class(pattern)) return true;
  const auto take_char = [&pattern]() -> std::optional<char32_t> {
    if (pattern.empty()) return std::nullopt;
    if (pattern.front() == '\\') {
      constexpr std::string_view kEscaped = "rnt\\-[]^./";
      constexpr std::string_view kMeaning = "\r\n\t\\-[]^./";
      const std::size_t which = pattern.size() > 1 ? kEscaped.find(pattern[1]) : kEscaped.npos;
      if (which == kEscaped.npos) return std::nullopt;
      pattern.remove_prefix(2);
      return static_cast<char32_t>(kMeaning[which]);
    }
    const auto byte = static_cast<unsigned char>(pattern.front());
    if (pattern.front() == '[' || pattern.starts_with("&&")) return std::nullopt;  // sets of sets
    const DecodedChar c = byte < 0x80
                              ? DecodedChar{0, 1, byte}
                              : decode_non_ascii(pattern.data(), pattern.data() + pattern.size());
    if (byte >= 0x80 && c.size == 1) return std::nullopt;
    pattern.remove_prefix(c.size);
    return c.code_point;
  };
  const std::optional<char32_t> first = take_char();
  if (!first) return false;
  const bool range = pattern.size() > 1 && pattern.front() == '-' && pattern[1] != ']';
  if (!range) {
    add(*first, *first);
    return true;
  }
  pattern.remove_prefix(1);
  const std::optional<char32_t> last = take_char();
  if (!last || *last < *first) return false;
  add(*first, *last);
  return true;
}

void CharSet::finish() {
  std::sort(ranges_.begin(), ranges_.end());
  for (std::size_t i = 1; i < ranges_.size();
       ++i)  // a range reaches at least as far as those before
    ranges_[i].second = std::max(ranges_[i].second, ranges_[i - 1].second);
  for (char32_t c = 0; c < ascii_.size(); ++c)
    ascii_[c] = contains(c);
}

std::optional<CharSet> CharSet::take(std::string_view& pattern) {
  CharSet set;
  if (!pattern.starts_with('[')) {
    if (!set.take_class(pattern)) return std::nullopt;
    set.finish();
    return set;
  }
  pattern.remove_prefix(1);
  set.negated_ = pattern.starts_with('^');
  if (set.negated_) pattern.remove_prefix(1);
  do {
    if (!set.take_item(pattern)) return std::nullopt;
  } while (!pattern.starts_with(']'));
  pattern.remove_prefix(1);
  set.finish();
  return set;
}

bool CharSet::contains(char32_t c) const {
  // The last range that begins at or before c; those before it reach no further.
  const auto behind =
      std::upper_bound(ranges_.begin(), ranges_.end(), c,
                       [](char32_t value, const auto& r) { return value < r.first; });
  const bool listed = behind != ranges_.begin() && c <= std::prev(behind)->second;
  return (listed || (full_class(c) & classes_) != 0) != negated_;
}

bool CharSet::contains(const char* p, const char* end, int& size) const {
  const auto byte = static_cast<unsigned char>(*p);
  size = 1;
  if (byte < 0x80) return ascii_[byte];
  const DecodedChar c = decode_non_ascii(p, end);
  size = c.size;
  return c.size > 1 && contains(c.code_point);
}

std::optional<SplitPattern> SplitPattern::parse(std::string_view pattern) {
  SplitPattern split;
  if (with_escapes(pattern) == kDeepSeekV3) {
    split.form_ = Form::deepseek_v3;
    return split;
  }
  if (pattern == "\\s+$") {
    split.form_ = Form::spaces_at_end;
    return split;
  }
  constexpr std::string_view kSpaceBefore = "\\s?";
  split.space_before_ = pattern.starts_with(kSpaceBefore);
  if (split.space_before_) pattern.remove_prefix(kSpaceBefore.size());
  std::optional<CharSet> set = CharSet::take(pattern);
  if (!set) return std::nullopt;
  split.set_ = std::move(*set);
  if (pattern == "+") return split;
  if (pattern.empty() && !split.space_before_) {
    split.most_ = 1;
    return split;
  }
  // "{1,3}"
  if (pattern.size() != 5 || !pattern.starts_with("{1,") || pattern[3] < '1' || pattern[3] > '9' ||
      pattern[4] != '}') {
    return std::nullopt;
  }
  split.most_ = pattern[3] - '0';
  return split;
}

// The run of the set at p; p when there is none. size: of the character at p.
const char* SplitPattern::match_at(const char* p, const char* end, int size) const {
  const char* run = p;
  int ignored = 0;
  if (space_before_ && (char_at(p, end).classes & kSpaces) != 0 && p + size < end &&
      set_.contains(p + size, end, ignored)) {
    run = p + size;
  }
  const char* q = run;
  for (int count = 0; q < end && (most_ == 0 || count < most_); ++count) {
    int bytes = 0;
    if (!set_.contains(q, end, bytes)) break;
    q += bytes;
  }
  return q == run ? p : q;
}

SplitPattern::Match SplitPattern::find(const char* p, const char* end) const {
  while (p < end) {
    const int size = char_at(p, end).size;
    const char* match = p;
    switch (form_) {
      case Form::run:
        match = match_at(p, end, size);
        break;
      case Form::spaces_at_end:
        match = match_spaces_at_end(p, end);
        break;
      case Form::deepseek_v3:
        match = match_deepseek_v3(p, end);
        break;
    }
    if (match > p) return {p, match};
    // White space that does not reach the end does not from its later characters either.
    const char* const run = form_ == Form::spaces_at_end ? skip(p, end, kSpaces) : p;
    p = std::max(p + size, run);
  }
  return {end, end};
}

}  // namespace tera::data
