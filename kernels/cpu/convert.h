// Rows converted between f32 and bf16, rounding to nearest even; the fast ops' way in and out.
#pragma once
#include <cstdint>

#include "kernels/bf16.h"

namespace tera::kernels::cpu {

// to[i] = from[i], or += when add.
void round_row(const float* from, Bf16* to, std::int64_t n, bool add);
void widen_row(const Bf16* from, float* to, std::int64_t n);

}  // namespace tera::kernels::cpu
