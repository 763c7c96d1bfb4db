// Sums, maxima and minima of what several ranks hold.
#pragma once
#include <vector>

#include "core/comm/operation.h"

namespace tera::comm {

// n elements: every to[k][i] = from[0][i] op from[1][i] op ..., in that order; bf16 and f16
// are summed in f32 and rounded once. An array of `to` may be one of `from`. dtype: f32, f64, i64,
// bf16 or f16.
void reduce(DType dtype,
            Reduce op,
            const std::vector<const std::byte*>& from,
            const std::vector<std::byte*>& to,
            std::int64_t n);

}  // namespace tera::comm
