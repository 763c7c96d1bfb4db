// The families of the transformers library, written as a config.json.
#pragma once
#include <nlohmann/json.hpp>

#include "core/spec/export.h"

namespace tera::spec::hugging_face {

// What the family's file says of the model, which may be less than the model is, and what the
// libraries write into every file.
nlohmann::json write_config(HuggingFaceFamily family,
                            const ModelConfig& model,
                            const HuggingFaceExportOptions& options);

}  // namespace tera::spec::hugging_face
