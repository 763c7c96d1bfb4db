// Argument checks that every communicator makes before it talks to a peer.
#pragma once
#include <span>

#include "core/comm/communicator.h"

namespace tera::comm {

// ContractError unless x is contiguous (and present when it has elements).
void check_contiguous(const char* what, const Tensor& x);
// The above, and a dtype that reductions know: f32, f64, i64.
void check_reducible(const char* what, const Tensor& x);
// `whole` holds `size` shards like `shard` along dim 0.
void check_shards(const char* what, const Tensor& shard, const Tensor& whole, int size);
// The rows of x are the sum of `rows`, one entry per rank; x has at least one dim.
void check_rows(const char* what, const Tensor& x, std::span<const std::int64_t> rows, int size);
// Bytes of one row of x.
std::int64_t row_bytes(const Tensor& x);

}  // namespace tera::comm
