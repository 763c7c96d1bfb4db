#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/half.cpp"
#include "kernels/cpu/half.h"

#include <algorithm>
#include <stdexcept>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

// As F16's conversions, lane by lane.
HWY_INLINE VF widen(const std::uint16_t* from) {
  const F32 d;
  const U32 du;
  const auto half = hn::PromoteTo(du, hn::LoadU(U16(), from));
  const auto sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(du, 0x8000U)));
  const auto magnitude = hn::And(half, hn::Set(du, 0x7fffU));
  const auto exponent = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7bffU)),
                                       hn::Set(du, 0x70000000U), hn::Set(du, 0x38000000U));
  const auto normal = hn::Add(hn::ShiftLeft<13>(magnitude), exponent);
  const auto tiny =
      hn::BitCast(du, hn::Mul(hn::ConvertTo(d, hn::BitCast(hn::RebindToSigned<F32>(), magnitude)),
                              hn::Set(d, 0x1p-24F)));
  const auto value = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x400U)), tiny, normal);
  return hn::BitCast(d, hn::Or(value, sign));
}

HWY_INLINE void narrow(VF value, std::uint16_t* to) {
  const F32 d;
  const U32 du;
  const auto bits = hn::BitCast(du, value);
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7fffffffU));
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1U));
  // Wraps below 2^-14, where the other form holds.
  const auto rounded = hn::Add(hn::Add(magnitude, odd), hn::Set(du, 0xfffU - 0x38000000U));
  const auto normal = hn::ShiftRight<13>(rounded);
  const auto tiny = hn::Sub(hn::BitCast(du, hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5F))),
                            hn::Set(du, 0x3f000000U));
  auto half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x38800000U)), tiny, normal);
  half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x477fefffU)), hn::Set(du, 0x7c00U), half);
  half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7f800000U)), hn::Set(du, 0x7e00U), half);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000U));
  hn::StoreU(hn::TruncateTo(U16(), hn::Or(half, sign)), U16(), to);
}

}  // namespace

void widen_half_simd(const F16* from, float* to, std::int64_t n) {
  const auto* half = reinterpret_cast<const std::uint16_t*>(from);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    if (count == kWidth) return store(widen(half + i), to + i);
    std::uint16_t part[static_cast<std::size_t>(kWidth)] = {};
    std::copy(half + i, half + n, part);
    store_n(widen(part), to + i, count);
  });
}

void round_half_simd(const float* from, F16* to, std::int64_t n) {
  auto* half = reinterpret_cast<std::uint16_t*>(to);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    if (count == kWidth) return narrow(load(from + i), half + i);
    std::uint16_t part[static_cast<std::size_t>(kWidth)];
    narrow(load_n(from + i, count), part);
    std::copy(part, part + count, half + i);
  });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(widen_half_simd);
HWY_EXPORT(round_half_simd);

void widen_half(const F16* from, float* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(widen_half_simd)(from, to, n);
}

void round_half(const float* from, F16* to, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(round_half_simd)(from, to, n);
}

namespace {

// body(first element in the view's memory, first in the packed copy, count) over runs along the
// last dim; one run when the view has no gaps.
template <class Body>
void for_each_run(const Context& context, const View& view, Body&& body) {
  const std::int64_t n = view.num_elements();
  if (view.contiguous()) {
    for_ranges(context, n, 32768,
               [&](std::int64_t begin, std::int64_t end, int) { body(begin, begin, end - begin); });
    return;
  }
  const std::int64_t width = view.shape[static_cast<std::size_t>(view.rank - 1)];
  for_rows(context, width == 0 ? 0 : n / width, width, [&](std::int64_t r) {
    std::int64_t at = 0;
    std::int64_t rest = r;
    for (int d = view.rank - 2; d >= 0; --d) {
      const auto i = static_cast<std::size_t>(d);
      at += rest % view.shape[i] * view.strides[i];
      rest /= view.shape[i];
    }
    body(at, r * width, width);
  });
}

}  // namespace

View WideArguments::widened(const View& half) {
  for (int i = 0; i < count_; ++i) {
    const View& known = pairs_[static_cast<std::size_t>(i)].half;
    if (known.data == half.data && known.rank == half.rank && known.shape == half.shape &&
        known.strides == half.strides)
      return pairs_[static_cast<std::size_t>(i)].wide;
  }
  if (count_ == kMost)
    throw std::invalid_argument("an op has more f16 arguments than are foreseen");
  View wide = half;
  wide.dtype = DType::f32;
  std::int64_t stride = 1;
  for (int d = half.rank - 1; d >= 0; --d) {
    wide.strides[static_cast<std::size_t>(d)] = stride;
    stride *= half.shape[static_cast<std::size_t>(d)];
  }
  const auto bytes = static_cast<std::size_t>(half.num_elements() + 1) * sizeof(float);
  wide.data = context_.executor->scratch(-1, kFirstSlot + count_, bytes);
  for_each_run(context_, half, [&](std::int64_t from, std::int64_t to, std::int64_t n) {
    widen_half(half.as<const F16>() + from, wide.as<float>() + to, n);
  });
  pairs_[static_cast<std::size_t>(count_++)] = {half, wide};
  return wide;
}

void WideArguments::write_back() const {
  for (int i = 0; i < count_; ++i) {
    const Pair& pair = pairs_[static_cast<std::size_t>(i)];
    for_each_run(context_, pair.half, [&](std::int64_t to, std::int64_t from, std::int64_t n) {
      round_half(pair.wide.as<const float>() + from, pair.half.as<F16>() + to, n);
    });
  }
}

}  // namespace tera::kernels::cpu
#endif
