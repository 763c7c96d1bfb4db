// Byte-level BPE tokenizer read from tokenizer.json. Immutable and thread-safe after loading.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace tera::data {

class Tokenizer {
 public:
  // The file, or the folder that holds a tokenizer.json. Errors: not_found, or invalid_input naming
  // what in the file is wrong or not supported.
  static Result<Tokenizer> load(const std::filesystem::path& path);
  static Result<Tokenizer> parse(std::string_view json);

  // Ids of the text (any bytes; invalid UTF-8 is encoded byte by byte). Special tokens in the text
  // are recognised only when allow_special. No end-of-document token is added.
  std::vector<std::int32_t> encode(std::string_view text, bool allow_special = false) const;
  // Bytes of the ids; an id out of range is an error.
  Result<std::string> decode(std::span<const std::int32_t> ids) const;
  std::string_view token_bytes(std::int32_t id) const;  // empty when out of range

  std::int32_t vocab_size() const;
  std::int32_t eod_id() const;        // "<|endoftext|>"; -1 if the file has none
  std::string sha256() const;         // of the canonical file content: the fingerprint in manifests
  std::string pre_tokenizer() const;  // gpt2, llama3 or qwen2
  bool is_special(std::int32_t id) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace tera::data
