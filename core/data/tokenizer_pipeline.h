// What tokenizer.json says about text before merges: normalizer and pre_tokenizer, and of its
// decoder what cannot be told from the tokens.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "core/base/result.h"
#include "core/data/tokenizer_file.h"

namespace tera::data {

// Reads them into the file, whose byte_fallback is known. Errors (invalid_input) show what is not
// supported, with what is.
Result<void> read_pipeline(const nlohmann::json& root, TokenizerFile& file);

}  // namespace tera::data
