// How the operands of a product lie in panels: K in blocks, vectors in panels of equal width.
//
// K is cut into blocks of at most 512 units: a row panel of one block (12 x 512 x 4 B) then stays
// in the first-level cache while column panels pass it. Row panels are of equal height: 64 rows are
// 6 panels of 11, not 5 of 12 and one of 4, which would leave the FMA units waiting.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/gemm_kernel.h"

namespace tera::kernels::cpu {

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// Part `index` of `parts` nearly equal ones, the larger ones first.
inline Range equal_part(Range all, std::int64_t parts, std::int64_t index) {
  const std::int64_t each = all.size() / parts;
  const std::int64_t larger = all.size() % parts;
  const std::int64_t begin = all.begin + index * each + std::min(index, larger);
  return {begin, begin + each + (index < larger ? 1 : 0)};
}

// How K is cut. A function of K and the kernel alone.
struct KBlocks {
  std::int64_t k, unit_elements;
  std::int64_t units_per_block, count;

  KBlocks(std::int64_t k_size, const GemmKernel& kernel);
  Range block(std::int64_t b) const {
    const std::int64_t elements = units_per_block * unit_elements;
    return {b * elements, std::min(k, (b + 1) * elements)};
  }
  std::int64_t units(std::int64_t b) const { return ceil_div(block(b).size(), unit_elements); }
};

// The vectors of an operand in panels.
struct Panels {
  const Operand* operand;
  std::int64_t width;
  std::int64_t stride;  // units from panel to panel of a K block
  bool padded;          // the last one is as wide as the others

  std::int64_t num() const { return ceil_div(operand->count, width); }
  std::int64_t size(std::int64_t panel) const {
    return std::min(width, operand->count - panel * width);
  }
  Range vectors(Range panels) const {
    return {panels.begin * width, std::min(operand->count, panels.end * width)};
  }
};

Panels row_panels(const Operand& rows, const GemmKernel& kernel, const KBlocks& blocks);
Panels column_panels(const Operand& columns, const GemmKernel& kernel, const KBlocks& blocks);

// Packs `which` of the panels over K positions `k`; the last row panel at its own height.
void pack_panels(
    const GemmKernel& kernel, const Panels& panels, Range which, Range k, std::uint32_t* to);

// Fetches panels into the second-level cache before they are packed, a few lines with each
// product of panels: the multiply-adds hide what memory takes.
class PanelsAhead {
 public:
  PanelsAhead() = default;
  // With the last of `calls` products of `units` each: what is fetched early is evicted again.
  PanelsAhead(const Panels& panels, Range which, Range k, std::int64_t calls, std::int64_t units);
  // For the next product.
  LinesAhead next();

 private:
  const std::byte* base_ = nullptr;
  std::int64_t stride_ = 0;              // bytes between vectors, or between K positions
  std::int64_t rows_ = 0, columns_ = 0;  // lines in either direction
  std::int64_t row_ = 0, column_ = 0;
  std::int64_t waiting_ = 0;  // products before the first line
  std::int64_t units_ = 0;
};

}  // namespace tera::kernels::cpu
