// Products of few rows with vectors that are contiguous along K on both sides: every element of c
// is a dot product straight from memory. Packing costs about as much as 16 rows of a product, so
// below that (decoding, experts with few tokens) reading in place wins.
#pragma once
#include <cstdint>

#include "kernels/cpu/gemm_kernel.h"

namespace tera::kernels::cpu {

// c[i * cols + j] = a_i . b_j for `rows` vectors of a and `cols` of b from the given firsts on.
using DotTile = void (*)(const Operand& a,
                         std::int64_t first_a,
                         std::int64_t rows,
                         const Operand& b,
                         std::int64_t first_b,
                         std::int64_t cols,
                         std::int64_t k,
                         float* c);

// For operands of these dtypes on this processor.
DotTile dot_tile_for(DType a, DType b);
// With vdpbf16ps, or null where the processor has none.
DotTile bf16_dot_tile();

}  // namespace tera::kernels::cpu
