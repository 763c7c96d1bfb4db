#include "core/data/special_tokens.h"

#include <algorithm>
#include <limits>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/json_read.h"

namespace tera::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxBytes = 16 << 20;  // chat templates and long lists of added tokens

// The object of a file; an empty one when there is no such file.
Result<json> read_object(Vfs& vfs, const fs::path& file) {
  TERA_TRY(const bool present, vfs.exists(file));
  if (!present) return json::object();
  TERA_TRY(const std::string text, read_text(vfs, file, kMaxBytes));
  Result<json> object = parse_json(text, {.max_bytes = kMaxBytes, .max_depth = 32});
  const char* hint = "take the file of the model once more, or remove it";
  if (!object) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: {}", file.string(), object.error().message), hint);
  }
  if (!object->is_object()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: got no object, expected settings", file.string()), hint);
  }
  return object;
}

// "</s>", or {"content": "</s>", ...} as older files have it; empty when there is none.
std::string token_name(const json& settings, const char* key) {
  const auto at = settings.find(key);
  if (at == settings.end()) return {};
  const json& value = at->is_object() ? at->value("content", json()) : *at;
  return value.is_string() ? value.get<std::string>() : std::string();
}

// One id or a list of ids; null and a missing key are none.
Result<std::vector<std::int32_t>> ids_of(const json& settings,
                                         const char* key,
                                         const fs::path& file) {
  std::vector<std::int32_t> ids;
  const auto at = settings.find(key);
  if (at == settings.end() || at->is_null()) return ids;
  const json list = at->is_array() ? *at : json::array({*at});
  for (const json& id : list) {
    constexpr std::int32_t kLargest = std::numeric_limits<std::int32_t>::max();
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > kLargest) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: {} is {}, expected the id of a token or a list of ids",
                              file.string(), key, at->dump().substr(0, 80)));
    }
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

}  // namespace

Result<SpecialTokens> read_special_tokens(Vfs& vfs, const fs::path& folder, const TokenId& id_of) {
  const fs::path generation_file = folder / "generation_config.json";
  TERA_TRY(const json generation, read_object(vfs, generation_file));
  TERA_TRY(const std::vector<std::int32_t> begins,
           ids_of(generation, "bos_token_id", generation_file));
  SpecialTokens special{.bos = begins.empty() ? -1 : begins.front()};
  TERA_TRY(special.eos, ids_of(generation, "eos_token_id", generation_file));
  if (!id_of) return special;
  TERA_TRY(const json tokenizer, read_object(vfs, folder / "tokenizer_config.json"));
  if (tokenizer.contains("bos_token")) {  // null says that there is none
    const std::string name = token_name(tokenizer, "bos_token");
    special.bos = name.empty() ? -1 : id_of(name);
  }
  const std::string name = token_name(tokenizer, "eos_token");
  if (const std::int32_t id = name.empty() ? -1 : id_of(name); id >= 0) {
    std::erase(special.eos, id);
    special.eos.insert(special.eos.begin(), id);
  }
  return special;
}

}  // namespace tera::data
