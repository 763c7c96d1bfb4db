// Where the loops of an update read and write: the arguments of an optimizer op from one element
// on.
#pragma once
#include <cstdint>

#include "kernels/view.h"

namespace tera::kernels::cpu {

struct UpdateParts {
  float* weight;
  const float* grad;
  float* m;  // null where the op has no momentum
};
UpdateParts parts_at(View weight, View grad, View m, std::int64_t begin);

}  // namespace tera::kernels::cpu
