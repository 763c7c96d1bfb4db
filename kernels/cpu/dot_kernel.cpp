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

template <class A, class B>
struct Dots {
  using Sum = VF;
  using Left = A;
  using Right = B;
  static constexpr std::int64_t kWidth = cpu::HWY_NAMESPACE::kWidth;
  // Sums of a tile in registers: 4 x 6 of 32, or 2 x 4 of 16.
  static constexpr int kRows = kWidth >= 16 ? 4 : 2;
  static constexpr int kCols = kWidth >= 16 ? 6 : 4;

  static HWY_INLINE VF zero() { return hn::Zero(F32()); }
  template <class T>
  static HWY_INLINE VF load(const T* p, std::int64_t count) {
    return load_n(p, count);
  }
  static HWY_INLINE VF add_product(VF sum, VF left, VF right) {
    return hn::MulAdd(left, right, sum);
  }
  static HWY_INLINE float total(VF sum) { return sum_lanes(sum); }
};

#include "kernels/cpu/dot_tile-inl.h"

}  // namespace

using DotTiles = std::array<std::array<DotTile, 2>, 2>;

// By [a is bf16][b is bf16].
const DotTiles& dot_tiles() {
  static constexpr DotTiles kTiles = {{{dot_tile<Dots<float, float>>, dot_tile<Dots<float, Bf16>>},
                                       {dot_tile<Dots<Bf16, float>>, dot_tile<Dots<Bf16, Bf16>>}}};
  return kTiles;
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
