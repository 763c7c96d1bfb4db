// Reading tokenizer.json: what its readers share.
#pragma once
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/base/result.h"

namespace tera::data::tokenizer_json {

using json = nlohmann::json;

inline constexpr const char* kKnownFiles =
    "expected the tokenizer.json of a BPE tokenizer: byte-level as `teragpt tok train` writes it, "
    "or with byte_fallback as Llama-2 has it";

inline tl::unexpected<Error> refuse(std::string message, std::string hint = kKnownFiles) {
  return fail(ErrorCode::invalid_input, std::move(message), std::move(hint));
}

// The beginning of a value, for messages.
inline std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 80) + "...";
  return text;
}

inline bool flag(const json& object, const char* key, bool otherwise) {
  const auto at = object.find(key);
  return at != object.end() && at->is_boolean() ? at->get<bool>() : otherwise;
}

// Empty when the value is no object with a text of this name.
inline std::string text_of(const json& object, const char* key) {
  const auto at = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && at != object.end() && at->is_string() ? at->get<std::string>()
                                                                     : std::string();
}

inline std::string type_of(const json& object) {
  return text_of(object, "type");
}

}  // namespace tera::data::tokenizer_json
