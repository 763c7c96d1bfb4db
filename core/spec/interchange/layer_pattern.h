// Which layers have experts, as Megatron-LM writes it: a Python expression of a list, such as
// ([0]*3+[1]*58), or a number n: layers 0, n, 2n, ...
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/spec/model_config.h"

namespace tera::spec {

// One value per layer, 0 or 1. Errors: not such an expression, or not of num_layers values.
Result<std::vector<int>> parse_layer_pattern(std::string_view text, int num_layers);

// Sets num_dense_layers and moe_layer_interval so that just the layers with 1 have experts; false
// when no values of the two do.
bool set_moe_layers(const std::vector<int>& pattern, ModelConfig& model);

// The expression for a model with experts; empty when every layer has them.
std::string layer_pattern(const ModelConfig& model);

}  // namespace tera::spec
