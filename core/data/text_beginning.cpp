#include "core/data/text_beginning.h"

#include <limits>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/data/tokenizer_json.h"

namespace tera::data {
namespace {

using nlohmann::json;
using tokenizer_json::refuse;
using tokenizer_json::shown;
using tokenizer_json::text_of;
using tokenizer_json::type_of;

using Ids = std::vector<std::int32_t>;

// The member of an object; null when there is none.
const json& member(const json& object, const char* key) {
  static const json kNull;
  const auto at = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && at != object.end() ? *at : kNull;
}

bool is_id(const json& value) {
  return value.is_number_unsigned() &&
         value.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
}

// {"single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
//  "special_tokens": {"<s>": {"ids": [1]}}}
Result<Ids> of_template(const json& processor) {
  Ids before;
  for (const json& piece : member(processor, "single")) {
    if (!member(piece, "Sequence").is_null()) return before;
    const std::string name = text_of(member(piece, "SpecialToken"), "id");
    const json& ids = member(member(member(processor, "special_tokens"), name.c_str()), "ids");
    if (!ids.is_array() || ids.empty())
      return refuse(fmt::format("post_processor: {} has no ids", shown(piece)));
    for (const json& id : ids) {
      if (!is_id(id)) return refuse(fmt::format("post_processor: {} is no id", shown(id)));
      before.push_back(id.get<std::int32_t>());
    }
  }
  return refuse("post_processor: its template names no text");
}

Result<Ids> of_processor(const json& processor) {
  const std::string type = type_of(processor);
  if (processor.is_null() || type == "ByteLevel") return Ids{};
  if (type == "TemplateProcessing") return of_template(processor);
  if (type == "Sequence") {
    Ids before;  // each works on what the one before it made
    for (const json& inner : member(processor, "processors")) {
      TERA_TRY(const Ids more, of_processor(inner));
      before.insert(before.begin(), more.begin(), more.end());
    }
    return before;
  }
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    const json& first = member(processor, "cls");  // ["<s>", 1]
    if (first.is_array() && first.size() == 2 && is_id(first[1]))
      return Ids{first[1].get<std::int32_t>()};
  }
  return refuse(fmt::format("post_processor {} is not known", shown(processor)));
}

}  // namespace

Result<Ids> read_beginning(const json& root) {
  return of_processor(member(root, "post_processor"));
}

}  // namespace tera::data
