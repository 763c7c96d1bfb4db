// The innermost parts of a product, one set per instruction set: packing of operands into panels,
// and the product of two panels in registers. gemm.cpp cuts products into them.
//
// Panels consist of 32-bit units: one f32, or two bf16 that follow each other along K ("pairs").
// A row panel holds `height` rows of op(A), unit u of row i at [u * height + i]; a column panel
// holds nr columns of op(B), unit u of column j at [u * nr + j].
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/dtype.h"

namespace tera::kernels::cpu {

// op(A) seen as rows, or op(B) seen as columns: `count` vectors of length k. Element p of vector i
// is at i * stride + p when contiguous along K, else at p * stride + i.
struct Operand {
  const void* data = nullptr;
  DType dtype = DType::f32;  // f32 or bf16
  std::int64_t stride = 0;
  std::int64_t count = 0;
  bool contiguous_k = true;
};

// Vectors [first, first + count) from K position k_begin to k_end.
struct PanelRange {
  std::int64_t first, count;
  std::int64_t k_begin, k_end;
};

// Writes the range in panels of `width` vectors each, `panel_stride` units apart. What stands for
// vectors that a last panel lacks is finite or a copy. Writes up to 15 units beyond the end of each
// panel, before the next one.
using PackPanels = void (*)(const Operand& operand,
                            const PanelRange& range,
                            std::int64_t width,
                            std::int64_t panel_stride,
                            std::uint32_t* panels);

// Lines of memory to fetch into the second-level cache on the way, one with each unit of K:
// `count` of them, `stride` bytes apart.
struct LinesAhead {
  const std::byte* first = nullptr;
  std::int64_t stride = 0;
  std::int64_t count = 0;
};

// Where the product of two panels goes: to the sums, or rounded to bf16 once it is whole.
struct ProductTile {
  float* sums = nullptr;  // null where nothing is added to and the result is rounded
  std::int64_t stride = 0;
  bool add = false;         // the product to what the sums hold
  Bf16* rounded = nullptr;  // the sums are then not written
  std::int64_t rounded_stride = 0;
  bool add_rounded = false;  // the result to what `rounded` holds
};

// c[rows, cols] (+)= row panel times column panel; rows <= mr, cols <= nr.
using MultiplyPanels = void (*)(std::int64_t rows,
                                std::int64_t units,
                                const std::uint32_t* a,
                                const std::uint32_t* b,
                                const ProductTile& c,
                                std::int64_t cols,
                                const LinesAhead& ahead);

struct GemmKernel {
  int mr;             // most rows of a row panel
  int nr;             // columns of a column panel
  int unit_elements;  // K positions per unit: 1 or 2
  PackPanels pack;
  MultiplyPanels multiply;
};

// f32 units; operands may be f32 or bf16.
const GemmKernel& f32_gemm_kernel();
// bf16 pairs with the processor's own dot products, or null where it has none.
const GemmKernel* bf16_gemm_kernel();
// How operands become panels of f32 units, and of pairs.
PackPanels f32_panel_packer();
PackPanels pair_panel_packer();

}  // namespace tera::kernels::cpu
