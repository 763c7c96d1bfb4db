// tokenizer.json of byte-level BPE tokenizers, read and written: the content without the machinery.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/bpe_model.h"
#include "core/data/pre_tokenizer.h"

namespace tera::data {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
};

struct TokenizerFile {
  PreTokenizerKind pre_tokenizer = PreTokenizerKind::gpt2;
  bool add_prefix_space = false;        // a space before text that does not begin with one
  bool nfc = false;                     // canonical composition first
  bool ignore_merges = false;           // a piece that is a token is that token
  std::vector<std::string> tokens;      // [id] bytes; empty where an id is unused
  std::vector<BpeModel::Merge> merges;  // by rank
  std::vector<AddedToken> added_tokens;
  std::string sha256;  // of the canonical JSON
};

// Limits: 64 MiB, 1,048,576 entries, 4 KiB per token. Errors are one sentence that names the field.
Result<TokenizerFile> parse_tokenizer_file(std::string_view json);

// The file as the `tokenizers` package lays it out; loads there with equal ids.
// string_merges writes "a b" (older readers) in place of ["a", "b"].
std::string write_tokenizer_file(const TokenizerFile& file, bool string_merges = false);

// Bytes <-> the printable characters byte-level files write them as (the table of GPT-2).
std::string bytes_to_alphabet(std::string_view bytes);
Result<std::string> alphabet_to_bytes(std::string_view text);
// The 256 byte values in the order of their characters' code points.
std::vector<std::uint8_t> bytes_by_code_point();

}  // namespace tera::data
