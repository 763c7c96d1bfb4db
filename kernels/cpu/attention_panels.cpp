#include "kernels/cpu/attention_panels.h"

#include "kernels/cpu/convert.h"

namespace tera::kernels::cpu {

const std::uint32_t* AttentionPlan::column_panel(const float* tile,
                                                 std::int64_t rows,
                                                 Bf16* rounded,
                                                 std::uint32_t* panel) const {
  if (!pairs()) return reinterpret_cast<const std::uint32_t*>(tile);
  round_row(tile, rounded, rows * kernel.nr, false);
  kernel.pack({rounded, DType::bf16, kernel.nr, kernel.nr, false}, {0, kernel.nr, 0, rows},
              kernel.nr, 0, panel);
  return panel;
}

}  // namespace tera::kernels::cpu
