#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dot_kernel.cpp"
#include "kernels/cpu/dot_kernel.h"

#include <algorithm>
#include <array>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

// Sums of a tile in registers: 4 x 6 of 32, or 2 x 4 of 16.
constexpr int kTileRows = kWidth >= 16 ? 4 : 2;
constexpr int kTileCols = kWidth >= 16 ? 6 : 4;

template <int kRows, int kCols, class A, class B>
void tile(const A* a,
          std::int64_t a_stride,
          const B* b,
          std::int64_t b_stride,
          std::int64_t k,
          float* c,
          std::int64_t c_stride) {
  VF sums[kRows][kCols];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j)
      sums[i][j] = hn::Zero(F32());
  }
  for_vectors(k, [&](std::int64_t p, std::int64_t count) {
    VF left[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
      left[i] = load_n(a + i * a_stride + p, count);
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) {
      const VF right = load_n(b + j * b_stride + p, count);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i)
        sums[i][j] = hn::MulAdd(left[i], right, sums[i][j]);
    }
  });
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j)
      c[i * c_stride + j] = sum_lanes(sums[i][j]);
  }
}

template <int kRows, class A, class B>
void columns(const A* a,
             std::int64_t a_stride,
             const B* b,
             std::int64_t b_stride,
             std::int64_t cols,
             std::int64_t k,
             float* c,
             std::int64_t c_stride) {
  std::int64_t j = 0;
  for (; j + kTileCols <= cols; j += kTileCols)
    tile<kRows, kTileCols>(a, a_stride, b + j * b_stride, b_stride, k, c + j, c_stride);
  for (; j < cols; ++j)
    tile<kRows, 1>(a, a_stride, b + j * b_stride, b_stride, k, c + j, c_stride);
}

// A few columns at a time against all rows, while they are in the first-level cache.
template <class A, class B>
void dot_tile(const Operand& a,
              std::int64_t first_a,
              std::int64_t rows,
              const Operand& b,
              std::int64_t first_b,
              std::int64_t cols,
              std::int64_t k,
              float* c) {
  const A* left = static_cast<const A*>(a.data) + first_a * a.stride;
  const B* right = static_cast<const B*>(b.data) + first_b * b.stride;
  for (std::int64_t j = 0; j < cols; j += kTileCols) {
    const std::int64_t n = std::min<std::int64_t>(kTileCols, cols - j);
    std::int64_t i = 0;
    for (; i + kTileRows <= rows; i += kTileRows)
      columns<kTileRows>(left + i * a.stride, a.stride, right + j * b.stride, b.stride, n, k,
                         c + i * cols + j, cols);
    for (; i < rows; ++i)
      columns<1>(left + i * a.stride, a.stride, right + j * b.stride, b.stride, n, k,
                 c + i * cols + j, cols);
  }
}

}  // namespace

using DotTiles = std::array<std::array<DotTile, 2>, 2>;

// By [a is bf16][b is bf16].
const DotTiles& dot_tiles() {
  static constexpr DotTiles tiles = {{{dot_tile<float, float>, dot_tile<float, Bf16>},
                                      {dot_tile<Bf16, float>, dot_tile<Bf16, Bf16>}}};
  return tiles;
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(dot_tiles);

DotTile dot_tile_for(DType a, DType b) {
  const bool left = a == DType::bf16;
  const bool right = b == DType::bf16;
  if (left && right) {
    if (const DotTile pairs = bf16_dot_tile()) return pairs;
  }
  return HWY_DYNAMIC_DISPATCH(dot_tiles)()[left ? 1 : 0][right ? 1 : 0];
}

}  // namespace tera::kernels::cpu
#endif
