#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/spec/interchange/mapping.h"
#include "core/spec/suggest.h"
#include "core/spec/validate.h"

namespace tera::spec {
namespace {

bool matches(std::string_view pattern, std::string_view key) {
  return pattern.ends_with('*') ? key.starts_with(pattern.substr(0, pattern.size() - 1))
                                : pattern == key;
}

std::vector<std::string_view> theirs_of(std::span<const Word> words) {
  std::vector<std::string_view> names;
  for (const Word& word : words)
    names.push_back(word.theirs);
  return names;
}

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
}

// `name` as a whole word, wherever it stands in `text`, by `by`.
void replace_word(std::string& text, std::string_view name, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(name, at)) != std::string::npos;) {
    const std::size_t end = at + name.size();
    const bool whole =
        (at == 0 || !is_word(text[at - 1])) &&
        (end == text.size() || !is_word(text[end]) || (text[end] == '.' && end + 1 == text.size()));
    if (whole) text.replace(at, name.size(), by);
    at += whole ? by.size() : name.size();
  }
}

bool names_variable(const Setting& setting) {
  return setting.kind == Setting::Kind::bare && setting.text.find('$') != std::string::npos;
}

}  // namespace

std::string shown(const Setting& setting) {
  if (setting.kind == Setting::Kind::flag || setting.text.empty()) return "nothing";
  constexpr std::size_t kShown = 60;
  const std::string text = setting.text.substr(0, kShown);
  if (names_variable(setting))
    return fmt::format("{}, a variable that the text does not set", text);
  const bool plain = setting.kind == Setting::Kind::number ||
                     setting.kind == Setting::Kind::boolean || setting.kind == Setting::Kind::list;
  return plain ? text : fmt::format("'{}'", text);
}

Importer::Importer(const Mapping& mapping, SettingList settings, ImportedConfig& out)
    : mapping_(mapping), settings_(std::move(settings)), out_(out) {}

Setting* Importer::find(std::string_view key) {
  for (Setting& setting : settings_) {
    if (setting.key == key) {
      setting.used = true;
      return &setting;
    }
  }
  return nullptr;
}

const Setting* Importer::find(std::string_view key) const {
  const auto at = std::find_if(settings_.begin(), settings_.end(),
                               [key](const Setting& setting) { return setting.key == key; });
  return at == settings_.end() ? nullptr : &*at;
}

void Importer::add(Severity severity, std::string_view key, std::string message, std::string hint) {
  const Setting* setting = std::as_const(*this).find(key);
  ImportFinding finding;
  finding.diagnostic = {.severity = severity,
                        .field = std::string(key),
                        .message = std::move(message),
                        .hint = std::move(hint)};
  if (setting != nullptr) {
    finding.file = setting->file;
    finding.diagnostic.line = setting->line;
    finding.diagnostic.column = setting->column;
  }
  out_.findings.push_back(std::move(finding));
}

void Importer::error(std::string_view key, std::string message, std::string hint) {
  add(Severity::error, key, std::move(message), std::move(hint));
}

void Importer::warning(std::string_view key, std::string message, std::string hint) {
  add(Severity::warning, key, std::move(message), std::move(hint));
}

void Importer::leave_out(std::string_view key, std::string why) {
  const Setting* setting = find(key);
  out_.left_out.push_back({.name = std::string(key),
                           .value = setting != nullptr ? setting->text : std::string(),
                           .why = std::move(why)});
}

bool Importer::has(std::string_view key) const {
  return find(key) != nullptr;
}

bool Importer::flag(std::string_view key) {
  const Setting* setting = find(key);
  if (setting == nullptr) return false;
  if (setting->kind == Setting::Kind::flag) return true;
  if (setting->text == "true" || setting->text == "false") return setting->text == "true";
  error(key, fmt::format("got {}, expected true or false", shown(*setting)));
  return false;
}

std::optional<std::int64_t> Importer::integer(std::string_view key) {
  const Setting* setting = find(key);
  if (setting == nullptr) return std::nullopt;
  const bool typed = setting->kind != Setting::Kind::quoted && setting->kind != Setting::Kind::list;
  if (typed) {
    const auto value = number_in(setting->text);
    constexpr double kExact = 9007199254740992.0;
    if (value && *value == std::floor(*value) && std::abs(*value) < kExact)
      return static_cast<std::int64_t>(*value);
  }
  error(key, fmt::format("got {}, expected a whole number", shown(*setting)));
  return std::nullopt;
}

std::optional<double> Importer::number(std::string_view key) {
  const Setting* setting = find(key);
  if (setting == nullptr) return std::nullopt;
  const bool typed = setting->kind != Setting::Kind::quoted && setting->kind != Setting::Kind::list;
  const auto value = number_in(setting->text);
  if (typed && value && std::isfinite(*value)) return value;
  error(key, fmt::format("got {}, expected a number", shown(*setting)));
  return std::nullopt;
}

std::optional<std::string> Importer::text(std::string_view key) {
  const Setting* setting = find(key);
  if (setting == nullptr) return std::nullopt;
  if (!setting->text.empty() && setting->kind != Setting::Kind::list) return setting->text;
  error(key, fmt::format("got {}, expected a text", shown(*setting)));
  return std::nullopt;
}

std::optional<std::string> Importer::list(std::string_view key) {
  const Setting* setting = find(key);
  if (setting == nullptr) return std::nullopt;
  if (setting->kind == Setting::Kind::list) return setting->text;
  error(key, fmt::format("got {}, expected a list", shown(*setting)));
  return std::nullopt;
}

std::optional<std::string> Importer::word(std::string_view key, std::span<const Word> words) {
  const Setting* setting = find(key);
  if (setting == nullptr) return std::nullopt;
  for (const Word& word : words) {
    if (word.theirs == setting->text) return std::string(word.ours);
  }
  const std::vector<std::string_view> known = theirs_of(words);
  const auto nearest = nearest_word(setting->text, known);
  error(key, fmt::format("got {}, expected {}", shown(*setting), one_of(known)),
        nearest ? fmt::format("did you mean {}?", *nearest) : std::string());
  return std::nullopt;
}

void Importer::read_row(const Row& row) {
  const Setting* setting = find(row.key);
  std::optional<std::string> value;
  if (row.is_flag()) {
    if (flag(row.key)) {
      value = row.words.front().ours;
    } else if (!row.otherwise.empty()) {
      value = row.otherwise;
    }
  } else if (setting == nullptr) {
    if (row.required) error(row.key, "is missing, and there is no default", "add it");
    if (!row.otherwise.empty() && (row.when == nullptr || row.when(spec()))) {
      value = row.otherwise;
      for (const Word& word : row.words) {
        if (word.theirs == row.otherwise) value = word.ours;
      }
    }
  } else if (!row.words.empty()) {
    value = word(row.key, row.words);
  } else {
    const FieldInfo* info = field_info(row.field);
    const bool text = info != nullptr && info->kind == FieldInfo::Kind::text;
    if (setting->kind == Setting::Kind::flag || setting->kind == Setting::Kind::list ||
        (setting->kind == Setting::Kind::quoted && !text) || names_variable(*setting)) {
      return error(row.key, fmt::format("got {}, expected {}", shown(*setting),
                                        text ? "a text" : "a number"));
    }
    value = setting->text;
  }
  if (!value) return;
  const Result<void> set = set_field(spec(), row.field, *value);
  if (set) return;
  std::string message = set.error().message;
  const std::string prefix = fmt::format("{}: ", row.field);
  if (message.starts_with(prefix)) message.erase(0, prefix.size());
  error(row.key, std::move(message), set.error().hint);
}

void Importer::read_rows() {
  for (const Row& row : mapping_.rows)
    read_row(row);
  // Two flags that choose different values of one field.
  for (const Row& first : mapping_.rows) {
    for (const Row& second : mapping_.rows) {
      if (&first >= &second || first.field != second.field || !first.is_flag() || !second.is_flag())
        continue;
      if (has(first.key) && has(second.key) && flag(first.key) && flag(second.key)) {
        error(second.key, fmt::format("contradicts {}: only one of them can hold", first.key),
              "remove one of them");
      }
    }
  }
}

void Importer::report_unused() {
  for (const IdleKeys& group : mapping_.idle) {
    for (Setting& setting : settings_) {
      const bool named =
          std::any_of(group.keys.begin(), group.keys.end(),
                      [&](std::string_view pattern) { return matches(pattern, setting.key); });
      if (!named || setting.used) continue;
      setting.used = true;
      const auto a = number_in(setting.text);
      const auto b = number_in(group.harmless);
      const bool same =
          !group.harmless.empty() && (setting.text == group.harmless || (a && b && *a == *b));
      if (!same) out_.left_out.push_back({setting.key, setting.text, std::string(group.why)});
    }
  }
  std::vector<std::string_view> known;
  for (const Row& row : mapping_.rows)
    known.push_back(row.key);
  for (const Setting& setting : settings_) {
    if (setting.used) continue;
    const auto nearest = nearest_word(setting.key, known);
    out_.left_out.push_back({setting.key, setting.text, "not known here"});
    warning(setting.key, fmt::format("{} is not known here and not used", shown(setting)),
            nearest ? fmt::format("did you mean {}?", *nearest) : std::string());
  }
}

std::string Importer::in_their_words(std::string text) const {
  for (const Row& row : mapping_.rows) {
    if (!row.field.empty()) replace_word(text, row.field, row.key);
  }
  for (const Row& row : mapping_.rows) {
    const auto dot = row.field.rfind('.');
    if (dot != std::string_view::npos && !row.is_flag())
      replace_word(text, row.field.substr(dot + 1), row.key);
  }
  return text;
}

void Importer::validate_result() {
  for (const Diagnostic& found : validate(spec())) {
    std::string_view key = found.field;
    bool present = false;
    for (const Row& row : mapping_.rows) {
      if (row.field != found.field || present) continue;
      present = has(row.key);
      if (present || key == found.field) key = row.key;
    }
    if (found.severity != Severity::error) continue;  // `plan` says the rest
    add(found.severity, key, in_their_words(found.message), in_their_words(found.hint));
  }
}

}  // namespace tera::spec
