// What a field of the spec is called and what values it takes, in words.
#pragma once
#include <string_view>

#include <QString>

#include "core/spec/yaml.h"

namespace tera::gui {

// "num_attention_heads" -> "Attention heads", "moe_ffn_hidden_size" -> "MoE FFN hidden size".
QString fieldLabel(std::string_view name);
// With the struct it stands in where another beside that has such a field: "Embedding: LR
// multiplier".
QString fieldLabel(const spec::FieldInfo& info);

// "Range 1 to 4096.", "At least 0."; empty for a field without numbers or bounds.
QString rangeText(const spec::FieldInfo& info);

}  // namespace tera::gui
