// The files that describe a tokenizer in a model directory.
#pragma once
#include <filesystem>

#include "core/base/result.h"
#include "core/base/vfs.h"

namespace tera::infer {

// Copies every tokenizer file of `from` that transformers knows. Error: one that is too large.
Result<void> copy_tokenizer_files(Vfs& vfs,
                                  const std::filesystem::path& from,
                                  const std::filesystem::path& to);

// Writes those of tokenizer_config.json, special_tokens_map.json and generation_config.json that
// `dir` lacks, for the byte-level tokenizer of its tokenizer.json. Its end-of-document token, if
// any, begins and ends texts.
Result<void> complete_tokenizer_files(Vfs& vfs,
                                      const std::filesystem::path& dir,
                                      int max_position_embeddings);

}  // namespace tera::infer
