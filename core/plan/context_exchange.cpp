#include "core/plan/context_exchange.h"

#include <algorithm>

#include "core/plan/placement.h"

namespace tera::plan {

ContextExchange context_exchange(const spec::RunSpec& spec) {
  const spec::ModelConfig& m = spec.model;
  const spec::ParallelLayout& layout = spec.layout;
  const int tensor = layout.tensor_parallel_size;
  const int heads = m.num_attention_heads / tensor;
  const bool latent = m.attention == spec::AttentionKind::latent;
  int key_heads = latent ? heads : std::max(1, m.num_key_value_heads / tensor);
  if (layout.context_parallel_method == spec::ContextMethod::ulysses)
    key_heads = std::max(key_heads, layout.context_parallel_size);
  const std::int64_t value_dim = latent ? m.v_head_dim : m.head_dim;
  const std::int64_t tokens = std::int64_t{layout.micro_batch_size} * spec.training.seq_length /
                              layout.context_parallel_size;
  return {.queries = tokens * heads * m.qk_head_dim(),
          .keys = tokens * key_heads * m.qk_head_dim(),
          .values = tokens * key_heads * value_dim,
          .outputs = tokens * heads * value_dim};
}

// Ring: keys and values that are here and those that come, the same of their gradients, and the
// gradient of the queries, gradients in f32. Ulysses: what is sent, what has arrived, and that in
// order, of queries, keys, values, results and their gradients.
std::int64_t context_passing_bytes(const spec::RunSpec& spec) {
  if (spec.layout.context_parallel_size == 1) return 0;
  const ContextExchange elements = context_exchange(spec);
  const std::int64_t bytes = dtype_bytes(compute_dtype(spec.training.precision));
  if (spec.layout.context_parallel_method == spec::ContextMethod::ring)
    return 2 * (elements.keys + elements.values) * (bytes + 4) + elements.queries * 4;
  return 3 * bytes * (elements.inputs() + 2 * elements.outputs);
}

}  // namespace tera::plan
