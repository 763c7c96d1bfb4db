// Scalars of a spec <-> text: one rule for YAML files, --set and the forms.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/fields.h"
#include "core/base/result.h"
#include "core/spec/suggest.h"

namespace tera::spec {

// value = text, checked against the field's range. Errors say what was found and what was expected;
// the caller adds the path. Numbers may carry suffixes (8k, 80e9, 3.35TB/s).
Result<void> assign_scalar(const Field& field, std::string_view text, int& value);
Result<void> assign_scalar(const Field& field, std::string_view text, std::int64_t& value);
Result<void> assign_scalar(const Field& field, std::string_view text, std::uint64_t& value);
Result<void> assign_scalar(const Field& field, std::string_view text, double& value);
Result<void> assign_scalar(const Field& field, std::string_view text, bool& value);
Result<void> assign_scalar(const Field& field, std::string_view text, std::string& value);

template <NamedEnum E>
Result<void> assign_scalar(const Field&, std::string_view text, E& value) {
  if (const auto found = enum_from_name<E>(text)) {
    value = *found;
    return {};
  }
  const std::vector<std::string_view> names(EnumNames<E>::value.begin(), EnumNames<E>::value.end());
  const auto nearest = nearest_word(text, names);
  return fail(ErrorCode::invalid_input,
              "got '" + std::string(text.substr(0, 60)) + "', expected " + one_of(names),
              nearest ? "did you mean " + *nearest + "?" : "write " + one_of(names));
}

// The shortest text that reads back to the same value. Texts come without quotes.
std::string scalar_text(int value);
std::string scalar_text(std::int64_t value);
std::string scalar_text(std::uint64_t value);
std::string scalar_text(double value);
std::string scalar_text(bool value);
std::string scalar_text(const std::string& value);
template <NamedEnum E>
std::string scalar_text(E value) {
  return std::string(enum_name(value));
}

// A text as a YAML scalar: plain where every YAML reader takes it for this text, else in quotes.
std::string yaml_quoted(std::string_view text);

// Types that assign_scalar takes.
template <class T>
concept ScalarValue = NamedEnum<T> || std::is_same_v<T, int> || std::is_same_v<T, std::int64_t> ||
    std::is_same_v<T, std::uint64_t> || std::is_same_v<T, double> || std::is_same_v<T, bool> ||
    std::is_same_v<T, std::string>;

}  // namespace tera::spec
