// BPE tokenizer read from tokenizer.json. Immutable and thread-safe after loading.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/special_tokens.h"

namespace tera::data {

class Tokenizer {
 public:
  // The file, or the folder that holds a tokenizer.json; files beside it say which tokens begin and
  // end texts (special_tokens.h). Errors: not_found, or invalid_input naming what in the file is
  // wrong or not supported.
  static Result<Tokenizer> load(const std::filesystem::path& path);
  static Result<Tokenizer> parse(std::string_view json, SpecialTokens special = {});

  // Ids of the text (any bytes; invalid UTF-8 is encoded byte by byte). Special tokens in the text
  // are recognised only when allow_special. No token that begins or ends texts is added:
  // beginning().
  std::vector<std::int32_t> encode(std::string_view text, bool allow_special = false) const;
  // Bytes of the ids, without a space that encoding put before the text; an id out of range is an
  // error.
  Result<std::string> decode(std::span<const std::int32_t> ids) const;
  std::string_view token_bytes(std::int32_t id) const;  // empty when out of range

  std::int32_t vocab_size() const;
  std::int32_t id_of(std::string_view token) const;  // an added one, by its text; -1: none
  // Ends documents and texts: the first of the special tokens that do, else "<|endoftext|>"; -1 if
  // there is none.
  std::int32_t eod_id() const;
  bool ends_text(std::int32_t id) const;  // one of those, eod_id() included
  // What stands before a text that a model is to read, as its post_processor says; often nothing.
  const std::vector<std::int32_t>& beginning() const;
  // What a text begins after: the token that begins texts, else eod_id().
  std::int32_t start_id() const;
  std::string sha256() const;         // of the canonical file content: the fingerprint in manifests
  std::string pre_tokenizer() const;  // the name of its kind
  bool is_special(std::int32_t id) const;

 private:
  void set_special(SpecialTokens special);

  struct Impl;
  std::shared_ptr<const Impl> impl_;
  SpecialTokens special_;  // ids of this tokenizer
};

}  // namespace tera::data
