#include "core/spec/scalars.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <system_error>

#include <fmt/format.h>

#include "core/base/units.h"

namespace tera::spec {
namespace {

std::string shown(std::string_view text) {
  constexpr std::size_t kShown = 60;
  if (text.empty()) return "nothing";
  return text.size() <= kShown ? fmt::format("'{}'", text)
                               : fmt::format("a text of {} bytes", text.size());
}

// The whole text as a plain number; none when anything is left over.
template <class Number>
std::optional<Number> plain_number(std::string_view text) {
  if (text.size() > 1 && text.front() == '+') text.remove_prefix(1);
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string range_text(const Field& field, bool whole) {
  std::string kind = whole ? "a whole number" : "a number";
  const bool has_min = std::isfinite(field.min);
  const bool has_max = std::isfinite(field.max);
  if (has_min && has_max)
    return fmt::format("{} from {:.16g} to {:.16g}", kind, field.min, field.max);
  if (has_min) return fmt::format("{} of at least {:.16g}", kind, field.min);
  if (has_max) return fmt::format("{} of at most {:.16g}", kind, field.max);
  return kind;
}

std::string range_hint(const Field& field, double value) {
  if (value < field.min) return fmt::format("use at least {:.16g}", field.min);
  if (value > field.max) return fmt::format("use at most {:.16g}", field.max);
  return {};
}

Result<double> checked_number(const Field& field, std::string_view text, bool whole) {
  std::optional<double> value = plain_number<double>(text);
  if (!value) {
    const Result<double> quantity = parse_quantity(text);
    if (quantity) value = *quantity;
  }
  if (!value || !std::isfinite(*value)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("got {}, expected {}", shown(text), range_text(field, whole)),
                whole ? "write it as 4096, 4k or 4*1024" : "write it as 0.001, 1e-3, 80e9 or 80G");
  }
  if (whole && *value != std::floor(*value)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("got {}, expected {}", shown(text), range_text(field, whole)),
                fmt::format("use {:.0f} or {:.0f}", std::floor(*value), std::ceil(*value)));
  }
  if (!(*value >= field.min && *value <= field.max)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("got {}, expected {}", shown(text), range_text(field, whole)),
                range_hint(field, *value));
  }
  return *value;
}

// Whole numbers: digits exactly, anything else (8k, 1e6) through a double, which holds every whole
// number up to 2^53.
template <class Integer>
Result<void> assign_whole(const Field& field, std::string_view text, Integer& value) {
  if (const auto digits = plain_number<Integer>(text)) {
    const auto number = static_cast<double>(*digits);
    if (number >= field.min && number <= field.max) {
      value = *digits;
      return {};
    }
  }
  constexpr double kExact = 9007199254740992.0;
  Field limited = field;
  limited.min =
      std::max({limited.min, -kExact, static_cast<double>(std::numeric_limits<Integer>::min())});
  limited.max =
      std::min({limited.max, kExact, static_cast<double>(std::numeric_limits<Integer>::max())});
  const Result<double> number = checked_number(limited, text, true);
  if (!number) return tl::unexpected<Error>(number.error());
  value = static_cast<Integer>(*number);
  return {};
}

bool is_plain_word(std::string_view text) {
  if (text.empty() || std::isalpha(static_cast<unsigned char>(text.front())) == 0) {
    const bool path = !text.empty() && (text.front() == '/' || text.front() == '_');
    if (!path) return false;
  }
  const bool simple = std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.' ||
           c == '/';
  });
  if (!simple) return false;
  // Words that YAML 1.1 or 1.2 readers take for something else than a text.
  std::string lower(text);
  for (char& c : lower)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  static constexpr std::string_view kReserved[] = {
      "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"};
  return std::find(std::begin(kReserved), std::end(kReserved), lower) == std::end(kReserved);
}

}  // namespace

Result<void> assign_scalar(const Field& field, std::string_view text, int& value) {
  return assign_whole(field, text, value);
}
Result<void> assign_scalar(const Field& field, std::string_view text, std::int64_t& value) {
  return assign_whole(field, text, value);
}
Result<void> assign_scalar(const Field& field, std::string_view text, std::uint64_t& value) {
  return assign_whole(field, text, value);
}

Result<void> assign_scalar(const Field& field, std::string_view text, double& value) {
  const Result<double> number = checked_number(field, text, false);
  if (!number) return tl::unexpected<Error>(number.error());
  value = *number;
  return {};
}

Result<void> assign_scalar(const Field&, std::string_view text, bool& value) {
  if (text == "true" || text == "false") {
    value = text == "true";
    return {};
  }
  const bool yes = text == "yes" || text == "on" || text == "True" || text == "TRUE" || text == "1";
  const bool no =
      text == "no" || text == "off" || text == "False" || text == "FALSE" || text == "0";
  return fail(ErrorCode::invalid_input, fmt::format("got {}, expected true or false", shown(text)),
              yes  ? "write true"
              : no ? "write false"
                   : "write true or false");
}

Result<void> assign_scalar(const Field&, std::string_view text, std::string& value) {
  if (text.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::invalid_input, "got a text with a zero byte", "remove it");
  }
  value = std::string(text);
  return {};
}

std::string scalar_text(int value) {
  return fmt::format("{}", value);
}
std::string scalar_text(std::int64_t value) {
  return fmt::format("{}", value);
}
std::string scalar_text(std::uint64_t value) {
  return fmt::format("{}", value);
}
std::string scalar_text(bool value) {
  return value ? "true" : "false";
}
std::string scalar_text(const std::string& value) {
  return value;
}

std::string scalar_text(double value) {
  std::string text = fmt::format("{}", value);
  // "1e-05" is a text to YAML 1.1 readers; with a point it is a number to all.
  const auto exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) {
    text.insert(exponent, ".0");
  }
  return text;
}

std::string yaml_quoted(std::string_view text) {
  if (is_plain_word(text)) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned>(static_cast<unsigned char>(c));
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (byte < 0x20U || byte == 0x7FU) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace tera::spec
