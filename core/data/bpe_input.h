// Feeds files to the tokenizer's training.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/base/result.h"
#include "core/data/bpe_trainer.h"

namespace tera::data {

// A .jsonl of documents, or any other file as text cut at line ends, in batches, so that memory
// does not grow with the file. on_progress(bytes done, bytes in all) is asked between batches;
// false stops.
Result<void> add_text_file(const std::filesystem::path& path,
                           BpeTrainer& trainer,
                           const std::function<bool(std::int64_t, std::int64_t)>& on_progress);

}  // namespace tera::data
