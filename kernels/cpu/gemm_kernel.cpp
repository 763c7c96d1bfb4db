// Products of panels with Highway: one compilation per instruction set, chosen at run time.
//
// The product keeps a tile of mr x 2 registers of c; each unit of K costs two loads of the column
// panel and mr broadcasts of the row panel, so the FMA units stay the limit.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_kernel.cpp"
#include "kernels/cpu/gemm_kernel.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr int kColumns = static_cast<int>(2 * kWidth);
// Registers of the tile, two of the column panel and one broadcast: 27 of 32, or 15 of 16.
constexpr int kRows = kWidth >= 16 ? 12 : 6;

HWY_INLINE void store_rounded(VF v, std::int64_t count, bool add, Bf16* to) {
  store_n(add ? hn::Add(v, load_n(to, count)) : v, to, count);
}

template <int kTileRows>
void multiply_rows(std::int64_t units,
                   const float* HWY_RESTRICT a,
                   const float* HWY_RESTRICT b,
                   const ProductTile& c,
                   std::int64_t cols,
                   const LinesAhead& ahead) {
  const F32 d;
  VF left[kTileRows];
  VF right[kTileRows];
#pragma GCC unroll 12
  for (int r = 0; r < kTileRows; ++r) {
    left[r] = hn::Zero(d);
    right[r] = hn::Zero(d);
  }
  if (c.add) {
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      __builtin_prefetch(c.sums + r * c.stride, 1, 3);
      __builtin_prefetch(c.sums + r * c.stride + kWidth, 1, 3);
    }
  }
  for (std::int64_t u = 0; u < units; ++u) {
    const VF b0 = load(b);
    const VF b1 = load(b + kWidth);
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      const VF broadcast = hn::Set(d, a[r]);
      left[r] = hn::MulAdd(broadcast, b0, left[r]);
      right[r] = hn::MulAdd(broadcast, b1, right[r]);
    }
    a += kTileRows;
    b += kColumns;
    if (u < ahead.count) __builtin_prefetch(ahead.first + u * ahead.stride, 0, 2);
  }
  const std::int64_t in_left = std::min<std::int64_t>(cols, kWidth);
  const std::int64_t in_right = cols - in_left;
  if (c.add) {
#pragma GCC unroll 12
    for (int r = 0; r < kTileRows; ++r) {
      const float* sums = c.sums + r * c.stride;
      left[r] = hn::Add(load_n(sums, in_left), left[r]);
      if (in_right > 0) right[r] = hn::Add(load_n(sums + kWidth, in_right), right[r]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kTileRows; ++r) {
    if (c.rounded != nullptr) {
      Bf16* to = c.rounded + r * c.rounded_stride;
      store_rounded(left[r], in_left, c.add_rounded, to);
      if (in_right > 0) store_rounded(right[r], in_right, c.add_rounded, to + kWidth);
    } else {
      float* to = c.sums + r * c.stride;
      store_n(left[r], to, in_left);
      if (in_right > 0) store_n(right[r], to + kWidth, in_right);
    }
  }
}

void multiply(std::int64_t rows,
              std::int64_t units,
              const std::uint32_t* a,
              const std::uint32_t* b,
              const ProductTile& c,
              std::int64_t cols,
              const LinesAhead& ahead) {
  using Rows = void (*)(std::int64_t, const float*, const float*, const ProductTile&, std::int64_t,
                        const LinesAhead&);
  static constexpr auto kByRows = []<int... kIndex>(std::integer_sequence<int, kIndex...>) {
    return std::array<Rows, kRows>{multiply_rows<kIndex + 1>...};
  }
  (std::make_integer_sequence<int, kRows>());
  kByRows[static_cast<std::size_t>(rows - 1)](units, reinterpret_cast<const float*>(a),
                                              reinterpret_cast<const float*>(b), c, cols, ahead);
}

}  // namespace

const GemmKernel& f32_kernel() {
  static const GemmKernel kKernel = {kRows, kColumns, 1, f32_panel_packer(), multiply};
  return kKernel;
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(f32_kernel);

const GemmKernel& f32_gemm_kernel() {
  return HWY_DYNAMIC_DISPATCH(f32_kernel)();
}

}  // namespace tera::kernels::cpu
#endif
