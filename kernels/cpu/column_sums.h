// Sums over rows that give the same bits for every number of workers: rows are added within blocks
// of 64, and the blocks' sums in order.
#pragma once
#include <algorithm>
#include <array>

#include "kernels/cpu/convert.h"
#include "kernels/cpu/parallel.h"

namespace tera::kernels::cpu {

// totals[s] [width] += the sums of `sums` (1 or 2) rows per token; add_rows(begin, end, sum0, sum1)
// adds those of tokens [begin, end) in their order, sum1 being null when there is one.
template <class AddRows>
void sum_rows_by_blocks(const Context& context,
                        std::int64_t tokens,
                        std::int64_t width,
                        std::int64_t sums,
                        std::array<float*, 2> totals,
                        AddRows&& add_rows) {
  constexpr std::int64_t kBlock = 64;
  const std::int64_t blocks = (tokens + kBlock - 1) / kBlock;
  const std::int64_t stride = sums * width;
  auto* partial = reinterpret_cast<float*>(context.executor->scratch(
      -1, 0, static_cast<std::size_t>(std::max<std::int64_t>(1, blocks * stride)) * sizeof(float)));
  for_ranges(context, tokens, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    float* sum = partial + begin / kBlock * stride;
    std::fill_n(sum, stride, 0.0F);
    add_rows(begin, end, sum, sums == 2 ? sum + width : nullptr);
  });
  for_ranges(context, stride, 1024, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t s = 0; s < sums; ++s) {
      const std::int64_t first = std::max(begin, s * width);
      const std::int64_t count = std::min(end, (s + 1) * width) - first;
      float* total = totals[static_cast<std::size_t>(s)] + first - s * width;
      for (std::int64_t block = 0; block < blocks && count > 0; ++block)
        add_row_f32(partial + block * stride + first, total, count);
    }
  });
}

}  // namespace tera::kernels::cpu
