#include "core/plan/context_exchange.h"

#include <algorithm>

#include "core/plan/placement.h"

namespace tera::plan {

ContextExchange context_exchange(const spec::RunSpec& spec) {
  const spec::ModelConfig& m = spec.model;
  const spec::ParallelLayout& layout = spec.layout;
  const double tensor = layout.tensor_parallel_size;
  const double heads = m.num_attention_heads / tensor;
  const bool latent = m.attention == spec::AttentionKind::latent;
  double key_heads = latent ? heads : std::max(1.0, m.num_key_value_heads / tensor);
  if (layout.context_parallel_method == spec::ContextMethod::ulysses)
    key_heads = std::max<double>(key_heads, layout.context_parallel_size);
  const double dim = m.qk_head_dim();
  const double value_dim = latent ? m.v_head_dim : m.head_dim;
  const double tokens = local_tokens(spec);
  return {.queries = tokens * heads * dim,
          .keys_values = tokens * key_heads * (dim + value_dim),
          .outputs = tokens * heads * value_dim};
}

// Ring: keys and values that are here and those that come, the same of their gradients, and the
// gradient of the queries, gradients in f32. Ulysses: what is sent, what has arrived, and that in
// order, of queries, keys, values, results and their gradients.
double context_passing_bytes(const spec::RunSpec& spec) {
  if (spec.layout.context_parallel_size == 1) return 0;
  const ContextExchange elements = context_exchange(spec);
  const auto bytes = static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
  if (spec.layout.context_parallel_method == spec::ContextMethod::ring)
    return 2 * elements.keys_values * (bytes + 4) + elements.queries * 4;
  return 3 * bytes * (elements.queries + elements.keys_values + 2 * elements.outputs);
}

}  // namespace tera::plan
