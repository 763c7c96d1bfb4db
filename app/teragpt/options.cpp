#include "app/teragpt/options.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace tera::app {
namespace {

// The whole text as a number; false when it is none or does not fit.
template <class Number>
bool parse(const std::string& text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

std::string alternatives(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace

CLI::Validator at_least(std::int64_t lowest, std::int64_t highest) {
  const auto check = [lowest, highest](const std::string& text) {
    std::int64_t value = 0;
    if (parse(text, value) && value >= lowest && value <= highest) return std::string();
    return fmt::format("got '{}', expected a whole number from {} to {}", text, lowest, highest);
  };
  const bool bounded = highest < std::numeric_limits<int>::max();
  return {check,
          bounded ? fmt::format("{} to {}", lowest, highest) : fmt::format("at least {}", lowest)};
}

CLI::Validator number_between(double lowest, double highest) {
  const auto check = [lowest, highest](const std::string& text) {
    double value = 0;
    if (parse(text, value) && value >= lowest && value <= highest) return std::string();
    return fmt::format("got '{}', expected a number from {} to {}", text, lowest, highest);
  };
  return {check, fmt::format("{} to {}", lowest, highest)};
}

CLI::Validator one_of(const std::vector<std::string>& words) {
  const auto check = [words](const std::string& text) {
    if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
    return fmt::format("got '{}', expected {}", text, alternatives(words));
  };
  return {check, alternatives(words)};
}

void add_set_option(CLI::App& verb, std::vector<std::string>& overrides) {
  verb.add_option("--set", overrides, "Override a field of the spec: PATH=VALUE; may be repeated")
      ->type_name("PATH=VALUE")
      ->take_all();
}

}  // namespace tera::app
