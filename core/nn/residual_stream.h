// The residual stream on its way from one reader to the next.
#pragma once
#include <utility>

#include "core/tensor/tensor.h"

namespace tera::nn {

// x, and what the last branch adds to it, [T, H] each: the norm that reads the stream adds it in
// the same pass. branch may be absent.
struct ResidualStream {
  Tensor x;
  Tensor branch;
};

// For readers that have no norm of all of it: the stream as one tensor, a new one where there is
// something to add.
inline Tensor joined(ResidualStream stream) {
  if (!stream.branch.present()) return std::move(stream.x);
  Backend& backend = stream.x.backend();
  Tensor sum = Tensor::empty(backend, {stream.x.dim(0), stream.x.dim(1)}, stream.x.dtype(),
                             MemoryKind::workspace);
  backend.ops().add(backend.context(), stream.x, stream.branch, sum);
  return sum;
}

}  // namespace tera::nn
