// The files that describe a tokenizer in a model directory.
#pragma once
#include <filesystem>
#include <string>

#include "core/base/result.h"
#include "core/base/vfs.h"

namespace tera::infer {

// Copies every tokenizer file of `from` that transformers knows. Error: one that is too large.
Result<void> copy_tokenizer_files(Vfs& vfs,
                                  const std::filesystem::path& from,
                                  const std::filesystem::path& to);

// Writes generation_config.json with the token ids of config.json unless `dir` has one: where
// generation and tokenizers look for the tokens that begin and end texts.
Result<void> keep_special_tokens(Vfs& vfs,
                                 const std::filesystem::path& dir,
                                 const std::string& config_json);

// Writes those of tokenizer_config.json, special_tokens_map.json and generation_config.json that
// `dir` lacks, for the tokenizer of its tokenizer.json. Its end-of-document token, if any, ends
// texts, and begins them unless it has another for that.
Result<void> complete_tokenizer_files(Vfs& vfs,
                                      const std::filesystem::path& dir,
                                      int max_position_embeddings);

}  // namespace tera::infer
