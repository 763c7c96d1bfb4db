#include "core/infer/tokenizer_files.h"

#include <array>

#include <nlohmann/json.hpp>

#include "core/data/tokenizer.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr std::uint64_t kMaxBytes = 64 << 20;
constexpr const char* kGenerationName = "generation_config.json";
constexpr std::array kNames = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                               kGenerationName,  "added_tokens.json",     "vocab.json",
                               "merges.txt",     "tokenizer.model",       "chat_template.jinja"};

Result<void> write_missing(Vfs& vfs, const fs::path& path, const ordered_json& document) {
  TERA_TRY(const bool present, vfs.exists(path));
  if (present) return {};
  return write_file_atomic(vfs, path, document.dump(2) + "\n");
}

}  // namespace

Result<void> copy_tokenizer_files(Vfs& vfs, const fs::path& from, const fs::path& to) {
  for (const char* name : kNames) {
    TERA_TRY(const bool present, vfs.exists(from / name));
    if (!present) continue;
    TERA_TRY(const std::string text, read_text(vfs, from / name, kMaxBytes));
    TERA_TRY_VOID(write_file_atomic(vfs, to / name, text));
  }
  return {};
}

Result<void> keep_special_tokens(Vfs& vfs, const fs::path& dir, const std::string& config_json) {
  const auto config = ordered_json::parse(config_json, nullptr, false);
  ordered_json generation = {{"_from_model_config", true}};
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (config.is_object() && config.contains(key) && !config[key].is_null())
      generation[key] = config[key];
  }
  return write_missing(vfs, dir / kGenerationName, generation);
}

Result<void> complete_tokenizer_files(Vfs& vfs, const fs::path& dir, int max_position_embeddings) {
  const Result<data::Tokenizer> tokenizer = data::Tokenizer::load(dir);
  if (!tokenizer) return {};  // not one of ours: whoever made it knows its tokens
  ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                         {"model_max_length", max_position_embeddings},
                         {"clean_up_tokenization_spaces", false}};
  ordered_json special = ordered_json::object();
  ordered_json generation = {{"_from_model_config", true}};
  const std::int32_t end = tokenizer->eod_id();
  if (end >= 0) {
    const std::int32_t begin = tokenizer->start_id();
    config["bos_token"] = special["bos_token"] = std::string(tokenizer->token_bytes(begin));
    config["eos_token"] = special["eos_token"] = std::string(tokenizer->token_bytes(end));
    generation["bos_token_id"] = begin;
    generation["eos_token_id"] = end;
  }
  TERA_TRY_VOID(write_missing(vfs, dir / "tokenizer_config.json", config));
  TERA_TRY_VOID(write_missing(vfs, dir / "special_tokens_map.json", special));
  return write_missing(vfs, dir / kGenerationName, generation);
}

}  // namespace tera::infer
