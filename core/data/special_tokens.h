// Which tokens begin and end texts, as the files beside a tokenizer.json say.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"

namespace tera::data {

struct SpecialTokens {
  std::int32_t bos = -1;               // begins texts; -1: none
  std::vector<std::int32_t> eos = {};  // each ends a text; the tokenizer's own is the first
  bool operator==(const SpecialTokens&) const = default;
};

// Id of a token by its text; -1 when there is none.
using TokenId = std::function<std::int32_t(std::string_view)>;

// From the folder's tokenizer_config.json (bos_token and eos_token by name, for which id_of is
// asked; null: not read) and generation_config.json (bos_token_id and eos_token_id, one or a list).
// What only one of them says counts; where both do, the first says what begins a text and which of
// the ends comes first. Neither file has to be there. Errors: a file that is no JSON object, an id
// that is no whole number from 0 on, named with their file.
Result<SpecialTokens> read_special_tokens(Vfs& vfs,
                                          const std::filesystem::path& folder,
                                          const TokenId& id_of);

}  // namespace tera::data
