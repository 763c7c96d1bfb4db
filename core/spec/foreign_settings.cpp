#include "core/spec/foreign_settings.h"

#include <limits>
#include <utility>

#include <fmt/format.h>

namespace tera::spec {
namespace {

using nlohmann::json;

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 60) + "...";
  return text;
}

const json& no_settings() {
  static const json kNone = json::object();
  return kNone;
}

}  // namespace

ForeignSettings::ForeignSettings(const json& values,
                                 std::string path,
                                 std::vector<Diagnostic>& diagnostics)
    : values_(&values), path_(std::move(path)), diagnostics_(&diagnostics) {}

void ForeignSettings::add(Severity severity,
                          std::string_view key,
                          std::string message,
                          std::string hint) {
  diagnostics_->push_back({.severity = severity,
                           .field = path_ + std::string(key),
                           .message = std::move(message),
                           .hint = std::move(hint)});
}

void ForeignSettings::error(std::string_view key, std::string message, std::string hint) {
  add(Severity::error, key, std::move(message), std::move(hint));
}

void ForeignSettings::mistyped(std::string_view key, std::string_view expected) {
  error(key, fmt::format("got {}, expected {}", shown(values_->at(std::string(key))), expected));
}

const json* ForeignSettings::find(std::string_view key) {
  known_.emplace(key);
  const auto at = values_->find(key);
  return at == values_->end() || at->is_null() ? nullptr : &*at;
}

bool ForeignSettings::has(std::string_view key) const {
  const auto at = values_->find(key);
  return at != values_->end() && !at->is_null();
}

int ForeignSettings::integer(std::string_view key, std::optional<int> otherwise) {
  const json* value = find(key);
  if (value == nullptr) {
    if (!otherwise) error(key, "is missing, expected a whole number");
    return otherwise.value_or(0);
  }
  constexpr int kLargest = std::numeric_limits<int>::max();
  const bool fits = value->is_number_unsigned() && value->get<std::uint64_t>() <= kLargest;
  if (!fits) {
    mistyped(key, fmt::format("a whole number from 0 to {}", kLargest));
    return otherwise.value_or(0);
  }
  return value->get<int>();
}

double ForeignSettings::number(std::string_view key, std::optional<double> otherwise) {
  const json* value = find(key);
  if (value == nullptr) {
    if (!otherwise) error(key, "is missing, expected a number");
    return otherwise.value_or(0);
  }
  if (!value->is_number()) {
    mistyped(key, "a number");
    return otherwise.value_or(0);
  }
  return value->get<double>();
}

bool ForeignSettings::flag(std::string_view key, bool otherwise) {
  const json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) {
    mistyped(key, "true or false");
    return otherwise;
  }
  return value->get<bool>();
}

std::string ForeignSettings::text(std::string_view key, std::string otherwise) {
  const json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) {
    mistyped(key, "a text");
    return otherwise;
  }
  return value->get<std::string>();
}

ForeignSettings ForeignSettings::object(std::string_view key) {
  const json* value = find(key);
  if (value != nullptr && !value->is_object()) {
    mistyped(key, "an object");
    value = nullptr;
  }
  return {value != nullptr ? *value : no_settings(), fmt::format("{}{}.", path_, key),
          *diagnostics_};
}

void ForeignSettings::ignore(std::initializer_list<std::string_view> keys) {
  known_.insert(keys.begin(), keys.end());
}

void ForeignSettings::expect(std::string_view key, const json& only, std::string_view why) {
  const json* value = find(key);
  if (value == nullptr || *value == only) return;
  error(key, fmt::format("is {}, expected {}: {}", shown(*value), shown(only), why));
}

void ForeignSettings::leave_out(std::initializer_list<std::string_view> keys) {
  for (const std::string_view key : keys) {
    if (const double value = number(key, 0.0); value != 0) {
      add(Severity::note, key, fmt::format("{} is left out: a setting of training", value));
    }
  }
}

void ForeignSettings::report_unknown() {
  for (const auto& [key, value] : values_->items()) {
    if (known_.contains(key)) continue;
    add(Severity::warning, key, fmt::format("{} is not known here and not used", shown(value)));
  }
}

}  // namespace tera::spec
