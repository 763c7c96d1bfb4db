// Rows of low-rank adapters beside those of the weights they adapt (core/spec/lora_config.h).
//
// Per target and layer, behind the weight: <place>.lora_A.weight [r, in] and .lora_B.weight
// [out, r], always f32; of routed experts [E, r, in] and [E, out, r]. Places:
//   layers.N.attention.{q, k, v, out, q_down, q_up, kv_down, kv_up}, layers.N.ffn.{in, out},
//   layers.N.moe.experts.{in, out}, layers.N.moe.shared.{in, out}, head
#pragma once
#include "core/plan/param_table.h"

namespace tera::plan {

// The table with adapters, all other rows frozen; unchanged when lora is not enabled.
ParamTable with_adapters(ParamTable table, const spec::LoraConfig& lora);

// Everything the run holds, adapters included.
ParamTable make_param_table(const spec::RunSpec& spec);

// Elements that gradients train, from the closed form where there are no adapters.
std::int64_t count_trainable(const spec::RunSpec& spec);

}  // namespace tera::plan
