#include "core/base/json_read.h"

#include <functional>
#include <optional>
#include <set>

#include <fmt/format.h>

namespace tera {
namespace {

using nlohmann::json;

const json& empty_object() {
  static const json kEmpty = json::object();
  return kEmpty;
}

// Byte at which brackets nest deeper than allowed, or npos. Knows strings, nothing else.
std::size_t too_deep_at(std::string_view text, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > max_depth) return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return std::string_view::npos;
}

std::string shortened(std::string text) {
  constexpr std::size_t kMost = 60;
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return text;
}

// "[json.exception.parse_error.101] parse error at line 1, column 5: syntax error while parsing
// value
// - unexpected end of input; expected ..." in the words of this program.
std::string not_json(std::string_view text, std::string_view what) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos)
    return "not JSON: got nothing, expected a value";
  const bool one_line = text.find('\n') == std::string_view::npos;
  const std::string_view from = one_line ? "column " : "line ";
  std::string where;
  const std::size_t at = what.find(from);
  const std::size_t colon = what.find(':', at);
  if (at != std::string_view::npos && colon != std::string_view::npos)
    where = fmt::format(" at {}", what.substr(at, colon - at));
  if (const std::size_t dash = what.find(" - "); dash != std::string_view::npos)
    what = what.substr(dash + 3);
  if (const std::size_t code = what.find("] "); code != std::string_view::npos)
    what = what.substr(code + 2);
  what = what.substr(0, what.find(';'));
  return fmt::format("not JSON{}: {}", where, shortened(std::string(what)));
}

// Watches a parse for a key that one object names twice, which a plain parse would drop silently.
class KeyWatch {
 public:
  bool operator()(int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) {
      keys_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto [at, fresh] = keys_.back().insert(value.get<std::string>());
      if (!fresh && !duplicate_) duplicate_ = *at;
    }
    return true;
  }
  const std::optional<std::string>& duplicate() const { return duplicate_; }

 private:
  std::vector<std::set<std::string>> keys_;  // of the objects that are open
  std::optional<std::string> duplicate_;
};

}  // namespace

Result<json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail(ErrorCode::invalid_input, fmt::format("JSON of {} bytes, expected at most {}",
                                                      text.size(), limits.max_bytes));
  }
  if (const std::size_t at = too_deep_at(text, limits.max_depth); at != std::string_view::npos) {
    return fail(ErrorCode::invalid_input,
                fmt::format("JSON nests deeper than {} at byte {}", limits.max_depth, at));
  }
  try {
    if (!limits.unique_keys) return json::parse(text);
    KeyWatch watch;
    json document = json::parse(text, std::ref(watch));
    if (watch.duplicate()) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("key \"{}\" is given twice", shortened(*watch.duplicate())));
    }
    return document;
  } catch (const json::exception& error) {
    return fail(ErrorCode::invalid_input, not_json(text, error.what()));
  }
}

void JsonReader::complain(std::string_view key,
                          std::string_view expected,
                          std::string_view got) const {
  if (!problem_->empty()) return;
  *problem_ = fmt::format("{}{}{}: got {}, expected {}", path_, path_.empty() ? "" : ".", key,
                          shortened(std::string(got)), expected);
}

const json* JsonReader::find(std::string_view key, json::value_t type) const {
  if (!problem_->empty()) return nullptr;
  if (!value_->is_object()) {
    complain(key, "an object around it", value_->type_name());
    return nullptr;
  }
  const auto at = value_->find(key);
  const json wanted(type);
  if (at == value_->end()) {
    complain(key, fmt::format("a field of type {}", wanted.type_name()), "nothing");
    return nullptr;
  }
  const bool fits =
      type == json::value_t::number_integer ? at->is_number_integer() : at->type() == type;
  if (!fits) {
    complain(key, wanted.type_name(), at->dump(-1, ' ', false, json::error_handler_t::replace));
    return nullptr;
  }
  return &*at;
}

std::string JsonReader::text(std::string_view key) const {
  const json* found = find(key, json::value_t::string);
  return found != nullptr ? found->get<std::string>() : std::string();
}

std::int64_t JsonReader::integer(std::string_view key, std::int64_t at_least) const {
  const json* found = find(key, json::value_t::number_integer);
  if (found == nullptr) return at_least;
  const bool too_large = found->is_number_unsigned() && found->get<std::uint64_t>() >> 63 != 0;
  if (too_large || found->get<std::int64_t>() < at_least) {
    complain(key, fmt::format("an integer of at least {}", at_least), found->dump());
    return at_least;
  }
  return found->get<std::int64_t>();
}

JsonReader JsonReader::object(std::string_view key) const {
  const json* found = find(key, json::value_t::object);
  return {found != nullptr ? *found : empty_object(),
          path_ + (path_.empty() ? "" : ".") + std::string(key), *problem_};
}

std::vector<JsonReader> JsonReader::list(std::string_view key) const {
  std::vector<JsonReader> items;
  const json* found = find(key, json::value_t::array);
  for (std::size_t i = 0; found != nullptr && i < found->size(); ++i) {
    items.emplace_back(
        (*found)[i], fmt::format("{}{}{}[{}]", path_, path_.empty() ? "" : ".", key, i), *problem_);
  }
  return items;
}

std::vector<std::string> JsonReader::texts(std::string_view key) const {
  std::vector<std::string> items;
  const json* found = find(key, json::value_t::array);
  for (std::size_t i = 0; found != nullptr && i < found->size(); ++i) {
    if (!(*found)[i].is_string()) {
      complain(key, "a list of strings", (*found)[i].type_name());
      break;
    }
    items.push_back((*found)[i].get<std::string>());
  }
  return items;
}

std::vector<std::int64_t> JsonReader::integers(std::string_view key) const {
  std::vector<std::int64_t> items;
  const json* found = find(key, json::value_t::array);
  for (std::size_t i = 0; found != nullptr && i < found->size(); ++i) {
    if (!(*found)[i].is_number_integer()) {
      complain(key, "a list of integers", (*found)[i].type_name());
      break;
    }
    items.push_back((*found)[i].get<std::int64_t>());
  }
  return items;
}

std::map<std::string, std::string> JsonReader::text_map(std::string_view key) const {
  std::map<std::string, std::string> items;
  const json* found = find(key, json::value_t::object);
  if (found == nullptr) return items;
  for (const auto& [name, value] : found->items()) {
    if (!value.is_string()) {
      complain(key, "a map of strings", value.type_name());
      break;
    }
    items[name] = value.get<std::string>();
  }
  return items;
}

std::map<std::string, std::int64_t> JsonReader::integer_map(std::string_view key) const {
  std::map<std::string, std::int64_t> items;
  const json* found = find(key, json::value_t::object);
  if (found == nullptr) return items;
  for (const auto& [name, value] : found->items()) {
    if (!value.is_number_integer()) {
      complain(key, "a map of integers", value.type_name());
      break;
    }
    items[name] = value.get<std::int64_t>();
  }
  return items;
}

}  // namespace tera
