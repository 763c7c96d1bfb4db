#include "core/nn/sliding_window.h"

#include <algorithm>

namespace tera::nn {

Tensor first_keys(const Batch& batch, int window, int query_offset) {
  if (window == 0) return batch.first_key;
  Tensor keys = Tensor::empty(batch.first_key.backend(), {batch.batch_size, batch.seq_length},
                              DType::i32, MemoryKind::workspace);
  const auto* document = batch.first_key.data<const std::int32_t>();
  auto* to = keys.data<std::int32_t>();
  for (std::int64_t t = 0; t < keys.num_elements(); ++t) {
    const auto query = query_offset + static_cast<std::int32_t>(t % batch.seq_length);
    to[t] = std::max(document[t], query - window + 1);
  }
  return keys;
}

}  // namespace tera::nn
