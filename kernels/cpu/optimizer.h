// Where the loops of an update read and write: the arguments of an optimizer op from one element
// on.
#pragma once
#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/view.h"

namespace tera::kernels::cpu {

struct UpdateParts {
  float* master;
  float* weight_f32;  // at most one of the two weights; they receive the new master
  Bf16* weight_bf16;
  const float* grad;
  float* m;  // null where the op has no momentum
};
UpdateParts parts_at(View master, View weight, View grad, View m, std::int64_t begin);

}  // namespace tera::kernels::cpu
