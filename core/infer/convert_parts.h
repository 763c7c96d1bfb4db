// What import and export share.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/infer/convert.h"

namespace tera::infer {

inline constexpr const char* kTokenizerName = "tokenizer.json";

// Sizes of all files, by path below dir.
Result<std::map<std::string, std::uint64_t>> files_below(Vfs& vfs,
                                                         const std::filesystem::path& dir);

// config.json of the model a checkpoint was imported from; empty when it was not.
std::string source_config(const checkpoint::Reader& reader);

// An error when logits were compared and differ at all.
Result<void> expect_same_logits(const Converted& converted);

}  // namespace tera::infer
