// Configurations of other projects, read into ours. Values that have no place here are refused by
// name, never dropped silently.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/fields.h"
#include "core/spec/model_config.h"

namespace tera::spec {

// Architectures of the transformers library, by their model_type, and Grok-1, which is published in
// its form with code of its own.
enum class HuggingFaceFamily : std::uint8_t {
  gpt2,
  gpt_neox,
  llama,
  mistral,
  qwen2,
  qwen3,
  olmo2,
  mixtral,
  olmoe,
  qwen2_moe,
  qwen3_moe,
  deepseek_v2,
  deepseek_v3,
  grok_1
};

// What a config.json says about the model.
struct HuggingFaceConfig {
  HuggingFaceFamily family = HuggingFaceFamily::llama;
  ModelConfig model;              // complete only when no diagnostic is an error
  bool rope_interleaved = false;  // latent attention: rotary rows are stored in pairs (2j, 2j + 1)
  int fp8_block_size = 0;         // > 0: matrices are fp8 with a scale per block of this side
  std::vector<Diagnostic> diagnostics;  // fields are the file's keys
  bool ok() const { return !has_errors(diagnostics); }
};

// Reads config.json. Errors: not JSON, an unknown model_type (with the known ones), missing or
// mistyped keys, settings the engine does not have. Warnings: keys nobody here knows. Notes:
// settings of training that are left out.
HuggingFaceConfig parse_hugging_face_config(std::string_view text);

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::HuggingFaceFamily> {
  static constexpr std::array<std::string_view, 14> value = {
      "gpt2",    "gpt_neox", "llama",     "mistral",   "qwen2",       "qwen3",       "olmo2",
      "mixtral", "olmoe",    "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3", "grok-1"};
};
}  // namespace tera
