// Gradients that tensor ranks have of the same parameters: which are of the rank's own part of the
// computation alone, so that their sum is the gradient.
#pragma once
#include <cstdint>

#include "core/plan/param_table.h"

namespace tera::plan {

enum class SharedGradient : std::uint8_t {
  complete,  // of what the rank holds alone, or computed alike by all
  summed,    // all hold the same tensor: inside what they share out, or behind their own tokens
  copied     // some rows are on several ranks: summed as part of the whole tensor
};
// splits_tokens: sequence parallelism.
SharedGradient shared_gradient(const ParamSpec& param, int tensor_ranks, bool splits_tokens);

}  // namespace tera::plan
