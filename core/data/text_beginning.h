// What tokenizer.json puts before a text that a model is to read: its post_processor.
#pragma once
#include <cstdint>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/result.h"

namespace tera::data {

// Ids before the text of the file `root`, in order; of a template those before its text. The types
// of post-processors are those of the `tokenizers` package. Error (invalid_input): another one, or
// one without what it needs.
Result<std::vector<std::int32_t>> read_beginning(const nlohmann::json& root);

}  // namespace tera::data
