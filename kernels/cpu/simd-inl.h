// What the Highway files share: loads and stores of f32 and bf16 as f32 vectors, and exp.
// Included once per instruction set, after hwy/highway.h.
#if defined(TERA_KERNELS_CPU_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TERA_KERNELS_CPU_SIMD_INL_H
#undef TERA_KERNELS_CPU_SIMD_INL_H
#else
#define TERA_KERNELS_CPU_SIMD_INL_H
#endif
#include <cstddef>
#include <cstdint>

#include <hwy/highway.h>

#include "kernels/bf16.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using VF = hn::Vec<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<std::uint16_t, F32>;
constexpr std::int64_t kWidth = static_cast<std::int64_t>(hn::MaxLanes(F32()));

HWY_INLINE VF load(const float* from) {
  return hn::LoadU(F32(), from);
}
HWY_INLINE VF load(const Bf16* from) {
  const auto halves = hn::LoadU(U16(), reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), halves)));
}

HWY_INLINE void store(VF v, float* to) {
  hn::StoreU(v, F32(), to);
}
// As Bf16(float): to nearest, ties to even, NaN quiet.
HWY_INLINE void store(VF v, Bf16* to) {
  const U32 d;
  const auto bits = hn::BitCast(d, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1U));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7fffU))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(bits), hn::Set(d, 0x40U));
  const auto is_nan = hn::RebindMask(d, hn::IsNaN(v));
  hn::StoreU(hn::TruncateTo(U16(), hn::IfThenElse(is_nan, quiet, rounded)), U16(),
             reinterpret_cast<std::uint16_t*>(to));
}

// Calls body(i) for whole vectors of [0, n) and then tail(i) for the elements left.
template <class Body, class Tail>
HWY_INLINE void for_vectors(std::int64_t n, Body&& body, Tail&& tail) {
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth)
    body(i);
  for (; i < n; ++i)
    tail(i);
}

}  // namespace
}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
