// Rows converted between f32 and bf16 (to nearest even) and added up.
#pragma once
#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dtype.h"

namespace tera::kernels::cpu {

// to[i] = from[i], or += when add.
void round_row(const float* from, Bf16* to, std::int64_t n, bool add);
void widen_row(const Bf16* from, float* to, std::int64_t n);
// to[i] += from[i].
void add_row_f32(const float* from, float* to, std::int64_t n);
void add_row_bf16(const Bf16* from, float* to, std::int64_t n);
void add_row_to_bf16(const Bf16* from, Bf16* to, std::int64_t n);
// Rows `stride` apart, one after the other.
void add_rows_f32(
    const float* from, std::int64_t stride, std::int64_t rows, float* to, std::int64_t n);
void add_rows_bf16(
    const Bf16* from, std::int64_t stride, std::int64_t rows, float* to, std::int64_t n);
// As f32 or bf16.
void store_row(const float* from, DType dtype, void* to, std::int64_t n);

}  // namespace tera::kernels::cpu
