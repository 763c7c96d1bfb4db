#include "core/plan/shared_gradient.h"

#include <algorithm>

namespace tera::plan {
namespace {

// Inside what ranks share out, but whole on each of them: its gradient there is of their heads or
// columns alone.
bool is_inside_part(const ParamSpec& param) {
  for (const char* name :
       {".q_norm.weight", ".k_norm.weight", ".q_down.weight", ".q_down_norm.weight",
        ".kv_down.weight", ".kv_down_norm.weight", ".shared.gate.weight"}) {
    if (param.name.ends_with(name)) return true;
  }
  return false;
}

// Behind the sum: computed from all tokens by every rank.
bool is_behind_sum(const ParamSpec& param) {
  return param.name.ends_with(".out.bias");
}

const ParamSplit* tensor_split(const ParamSpec& param) {
  const auto found =
      std::find_if(param.splits.begin(), param.splits.end(),
                   [](const ParamSplit& split) { return split.axis == Axis::tensor; });
  return found == param.splits.end() ? nullptr : &*found;
}

}  // namespace

SharedGradient shared_gradient(const ParamSpec& param, int tensor_ranks, bool splits_tokens) {
  using enum SharedGradient;
  if (tensor_ranks == 1 || param.is_expert()) return complete;
  if (const ParamSplit* split = tensor_split(param)) {
    const bool has_copies =
        std::any_of(split->parts.begin(), split->parts.end(),
                    [&](std::int64_t extent) { return extent / split->unit < tensor_ranks; });
    return has_copies ? copied : complete;
  }
  const bool own_tokens = splits_tokens && !is_behind_sum(param);
  return is_inside_part(param) || own_tokens ? summed : complete;
}

}  // namespace tera::plan
