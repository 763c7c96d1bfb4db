// Argument checks of operations, before anything is said to a peer: the same for every transport.
#pragma once
#include "core/comm/operation.h"

namespace tera::comm {

// ContractError unless the tensors of the operation are contiguous, fit each other in a group of
// `size` ranks, and its peer is one of them.
void check_operation(const Operation& operation, int size);

// Bytes of one row of x: of its elements that share an index of dim 0.
std::int64_t row_bytes(const Tensor& x);

}  // namespace tera::comm
