// tokenizer.json of BPE tokenizers, read and written: the content without the machinery. Two kinds:
// byte-level, where every byte is a character of the vocabulary (GPT-2, Llama-3, DeepSeek), and
// byte_fallback, where tokens are characters with "▁" for spaces, and bytes stand in for
// characters that are none (Llama-2, Mistral).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/bpe_model.h"
#include "core/data/pre_tokenizer.h"
#include "core/data/split_pattern.h"

namespace tera::data {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;  // looked for behind the normalizer
};

// What stands for a space with byte_fallback.
inline constexpr std::string_view kSpaceMark = "▁";
enum class SpaceMarks : std::uint8_t { none, by_normalizer, by_pre_tokenizer };
// Before which text a mark is put: of every part between added tokens; of those without one; of the
// one at the beginning when it has none.
enum class SpacePrefix : std::uint8_t { none, always, unless_there, at_start_unless_there };

struct TokenizerFile {
  PreTokenizerKind pre_tokenizer = PreTokenizerKind::gpt2;
  std::vector<SplitPattern> splits;  // one after the other, with PreTokenizerKind::splits
  bool add_prefix_space = false;     // a space before text that does not begin with one
  bool nfc = false;                  // canonical composition first
  bool ignore_merges = false;        // a piece that is a token is that token
  bool byte_fallback = false;
  SpaceMarks space_marks = SpaceMarks::none;
  SpacePrefix space_prefix = SpacePrefix::none;
  bool strip_space = false;             // decoding drops a space before the text
  std::vector<std::string> tokens;      // [id] bytes; empty where an id is unused
  std::vector<std::string> written;     // [id] as in the file; with byte_fallback
  std::vector<BpeModel::Merge> merges;  // by rank
  std::vector<AddedToken> added_tokens;
  std::vector<std::int32_t> beginning;  // before a text that a model reads
  std::string sha256;                   // of the canonical JSON
};

// Limits: 64 MiB, 1,048,576 entries, 4 KiB per token. Errors are one sentence that names the field.
Result<TokenizerFile> parse_tokenizer_file(std::string_view json);

// A byte-level file as the `tokenizers` package lays it out; loads there with equal ids.
// string_merges writes "a b" (older readers) in place of ["a", "b"].
std::string write_tokenizer_file(const TokenizerFile& file, bool string_merges = false);

// Bytes <-> the printable characters byte-level files write them as (the table of GPT-2).
std::string bytes_to_alphabet(std::string_view bytes);
Result<std::string> alphabet_to_bytes(std::string_view text);
// The byte that a token of byte_fallback stands for ("<0x0A>": 10); -1 for others.
int fallback_byte(std::string_view written);
// The 256 byte values in the order of their characters' code points.
std::vector<std::uint8_t> bytes_by_code_point();

}  // namespace tera::data
