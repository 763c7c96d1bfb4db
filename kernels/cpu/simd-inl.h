// What the Highway files share: loads and stores of f32 and bf16 as f32 vectors, exp, tanh.
// Included once per instruction set, after hwy/highway.h.
#if defined(TERA_KERNELS_CPU_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TERA_KERNELS_CPU_SIMD_INL_H
#undef TERA_KERNELS_CPU_SIMD_INL_H
#else
#define TERA_KERNELS_CPU_SIMD_INL_H
#endif
#include <algorithm>
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
inline constexpr std::int64_t kWidth = static_cast<std::int64_t>(hn::MaxLanes(F32()));

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
// As Bf16(float): to nearest, ties to even, NaN quiet. The upper halves of the bits are the result.
HWY_INLINE hn::Vec<U32> round_upper_half(VF v) {
  const U32 d;
  const auto bits = hn::BitCast(d, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1U));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7fffU)));
  const auto quiet = hn::Or(bits, hn::Set(d, 0x400000U));
  return hn::IfThenElse(hn::RebindMask(d, hn::IsNaN(v)), quiet, rounded);
}
HWY_INLINE hn::Vec<U16> upper_halves(hn::Vec<U32> bits) {
  return hn::TruncateTo(U16(), hn::ShiftRight<16>(bits));
}
HWY_INLINE void store_upper_halves(hn::Vec<U32> bits, Bf16* to) {
  hn::StoreU(upper_halves(bits), U16(), reinterpret_cast<std::uint16_t*>(to));
}
HWY_INLINE VF without_lower_half(hn::Vec<U32> bits) {
  return hn::BitCast(F32(), hn::And(bits, hn::Set(U32(), 0xffff0000U)));
}
HWY_INLINE void store(VF v, Bf16* to) {
  store_upper_halves(round_upper_half(v), to);
}

// The value that a store to such an element would leave there.
HWY_INLINE VF rounded_as(const float* /*element*/, VF v) {
  return v;
}
HWY_INLINE VF rounded_as(const Bf16* /*element*/, VF v) {
  return without_lower_half(round_upper_half(v));
}

// exp(x) for x <= 0 (0 below -87.3, where f32 ends), relative error below 2e-7; NaN stays NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, exp(r) by its Taylor polynomial to r^6, 2^n by exponent
// bits.
HWY_INLINE VF exp_nonpositive(VF x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto below = hn::Lt(x, hn::Set(d, -87.33654F));
  x = hn::IfThenElse(below, hn::Set(d, -87.33654F), x);
  const VF n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504F)));
  // ln 2 in two parts: the first has few bits, so that n times it is exact.
  VF r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
  VF p = hn::Set(d, 1.0F / 720);
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F / 120));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F / 24));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F / 6));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0F));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenZeroElse(below, hn::Mul(p, hn::BitCast(d, exponent)));
}

// 1 / (1 + exp(-x)).
HWY_INLINE VF sigmoid(VF x) {
  const F32 d;
  const VF e = exp_nonpositive(hn::Neg(hn::Abs(x)));
  const VF top = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, hn::Set(d, 1.0F));
  return hn::Div(top, hn::Add(hn::Set(d, 1.0F), e));
}

// Relative error below 2e-7; NaN stays NaN. Below 0.625 x + x^3 P(x^2), P interpolated at Chebyshev
// nodes; above (1 - e) / (1 + e) with e = exp(-2 |x|).
HWY_INLINE VF tanh(VF x) {
  const F32 d;
  const VF one = hn::Set(d, 1.0F);
  const VF a = hn::Abs(x);
  const VF e = exp_nonpositive(hn::Mul(hn::Set(d, -2.0F), a));
  const VF large = hn::CopySign(hn::Div(hn::Sub(one, e), hn::Add(one, e)), x);
  const VF square = hn::Mul(x, x);
  VF p = hn::Set(d, -0.00609671418F);
  p = hn::MulAdd(p, square, hn::Set(d, 0.0209971797F));
  p = hn::MulAdd(p, square, hn::Set(d, -0.0538509078F));
  p = hn::MulAdd(p, square, hn::Set(d, 0.133327693F));
  p = hn::MulAdd(p, square, hn::Set(d, -0.333333284F));
  const VF small = hn::MulAdd(hn::Mul(x, square), p, x);
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.625F)), small, large);
}

HWY_INLINE float sum_lanes(VF v) {
  return hn::GetLane(hn::SumOfLanes(F32(), v));
}

// The first n elements, zero in the other lanes; n is the whole width but at the end of a row.
template <class T>
HWY_INLINE VF load_n(const T* from, std::int64_t n) {
  if (n >= kWidth) return load(from);
  T part[static_cast<std::size_t>(kWidth)] = {};
  for (std::int64_t i = 0; i < n; ++i)
    part[i] = from[i];
  return load(part);
}

template <class T>
HWY_INLINE void store_n(VF v, T* to, std::int64_t n) {
  if (n >= kWidth) return store(v, to);
  T part[static_cast<std::size_t>(kWidth)];
  store(v, part);
  for (std::int64_t i = 0; i < n; ++i)
    to[i] = part[i];
}

// Stores the first n elements and returns them as they are then there.
HWY_INLINE VF put_n(VF v, float* to, std::int64_t n) {
  store_n(v, to, n);
  return v;
}
HWY_INLINE VF put_n(VF v, Bf16* to, std::int64_t n) {
  const auto bits = round_upper_half(v);
  if (n < kWidth) {
    store_n(v, to, n);
  } else {
    store_upper_halves(bits, to);
  }
  return without_lower_half(bits);
}

// An f32 from its two halves, and back (bf16.h: join_f32, split_f32).
HWY_INLINE VF join(const std::uint16_t* high, const std::uint16_t* low) {
  const U32 d;
  const auto sign = hn::Set(d, 0x8000U);
  const auto lower = hn::PromoteTo(d, hn::LoadU(U16(), low));
  const auto upper = hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(U16(), high)));
  return hn::BitCast(F32(), hn::Add(upper, hn::Sub(hn::Xor(lower, sign), sign)));
}
HWY_INLINE void split(VF v, std::uint16_t* high, std::uint16_t* low) {
  const U32 d;
  const auto bits = hn::BitCast(d, v);
  const auto is_nan = hn::Gt(hn::And(bits, hn::Set(d, 0x7fffffffU)), hn::Set(d, 0x7f800000U));
  const auto rounded = hn::IfThenElse(is_nan, hn::Or(bits, hn::Set(d, 0x400000U)),
                                      hn::Add(bits, hn::Set(d, 0x8000U)));
  hn::StoreU(hn::TruncateTo(U16(), hn::ShiftRight<16>(rounded)), U16(), high);
  hn::StoreU(hn::TruncateTo(U16(), bits), U16(), low);
}

HWY_INLINE VF join_n(const std::uint16_t* high, const std::uint16_t* low, std::int64_t n) {
  if (n >= kWidth) return join(high, low);
  std::uint16_t part[2][static_cast<std::size_t>(kWidth)] = {};
  std::copy_n(high, n, part[0]);
  std::copy_n(low, n, part[1]);
  return join(part[0], part[1]);
}
HWY_INLINE void split_n(VF v, std::uint16_t* high, std::uint16_t* low, std::int64_t n) {
  if (n >= kWidth) return split(v, high, low);
  std::uint16_t part[2][static_cast<std::size_t>(kWidth)];
  split(v, part[0], part[1]);
  std::copy_n(part[0], n, high);
  std::copy_n(part[1], n, low);
}

// body(i, count) for the vectors of [0, n): count is the width, less for the last.
template <class Body>
HWY_INLINE void for_vectors(std::int64_t n, Body&& body) {
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth)
    body(i, kWidth);
  if (i < n) body(i, n - i);
}

}  // namespace
}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
