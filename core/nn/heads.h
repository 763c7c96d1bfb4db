// Views of activations [T, n D] and [T, n, D] as the heads and sequences that ops take.
#pragma once
#include "core/nn/module.h"

namespace tera::nn {

// [T, n D] with strided rows as [T, n, D].
kernels::View as_heads(const Tensor& rows, std::int64_t head_dim);
// [T, n, D] with strided rows as [B, S, n, D].
kernels::View as_sequences(const kernels::View& heads, const Batch& batch);
// Dims [first, first + count) of head h of [T, n, D], as [T, count].
kernels::View head_rows(const Tensor& heads,
                        std::int64_t h,
                        std::int64_t first,
                        std::int64_t count);
// [T, n, D] -> [T, n D].
Tensor flat(const Tensor& heads);

}  // namespace tera::nn
