// Rotary positions. Sine and cosine of position x frequency are made in f64 by adding angles: the
// position is 64 high + low, and cos(a + b) = cos a cos b - sin a sin b, so a call computes a few
// dozen rows of true sines and then one complex product per token and pair, for all heads at once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rotary.cpp"
#include <cmath>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/rotary_angles.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
void rotate(const T* x, const float* cosine, const float* sine, std::int64_t half, T* y) {
  for_vectors(half, [&](std::int64_t i, std::int64_t count) {
    const VF c = load_n(cosine + i, count);
    const VF s = load_n(sine + i, count);
    const VF low = load_n(x + i, count);
    const VF high = load_n(x + half + i, count);
    store_n(hn::NegMulAdd(high, s, hn::Mul(low, c)), y + i, count);
    store_n(hn::MulAdd(low, s, hn::Mul(high, c)), y + half + i, count);
  });
}

}  // namespace

const TurnHeads& turn_heads() {
  static constexpr TurnHeads kTurns = {rotate<float>, rotate<Bf16>};
  return kTurns;
}

// cosine, sine [half] of the angle that is the sum of two others, times a factor each.
void add_angles(const double* a,
                const double* b,
                std::int64_t half,
                float cosine_factor,
                float sine_factor,
                float* cosine,
                float* sine) {
  const hn::ScalableTag<double> d;
  constexpr auto kStep = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<double>()));
  const hn::Rebind<float, hn::ScalableTag<double>> df;
  std::int64_t i = 0;
  for (; i + kStep <= half; i += kStep) {
    const auto ca = hn::LoadU(d, a + i);
    const auto sa = hn::LoadU(d, a + half + i);
    const auto cb = hn::LoadU(d, b + i);
    const auto sb = hn::LoadU(d, b + half + i);
    const auto c = hn::DemoteTo(df, hn::NegMulAdd(sa, sb, hn::Mul(ca, cb)));
    const auto s = hn::DemoteTo(df, hn::MulAdd(sa, cb, hn::Mul(ca, sb)));
    hn::StoreU(hn::Mul(c, hn::Set(df, cosine_factor)), df, cosine + i);
    hn::StoreU(hn::Mul(s, hn::Set(df, sine_factor)), df, sine + i);
  }
  for (; i < half; ++i) {
    cosine[i] = cosine_factor * static_cast<float>(a[i] * b[i] - a[half + i] * b[half + i]);
    sine[i] = sine_factor * static_cast<float>(a[half + i] * b[i] + a[i] * b[half + i]);
  }
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {
namespace {

HWY_EXPORT(turn_heads);
HWY_EXPORT(add_angles);

constexpr std::int64_t kLow = 64;

}  // namespace

const TurnHeads& turn_heads_here() {
  return HWY_DYNAMIC_DISPATCH(turn_heads)();
}

RotaryAngles::RotaryAngles(const Context& context,
                           View positions,
                           View frequencies,
                           RotaryOptions options)
    : context_(context),
      positions_(positions.as<const std::int32_t>()),
      pairs_(frequencies.num_elements()),
      factor_(static_cast<float>(options.factor)),
      transpose_(options.transpose) {
  const auto* frequency = frequencies.as<const double>();
  const std::int64_t tokens = positions.num_elements();
  const std::int64_t half = pairs_;
  const std::int64_t width = 2 * half;
  std::int64_t highest = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    lowest_ = std::min<std::int64_t>(lowest_, positions_[t] >> 6);
    highest = std::max<std::int64_t>(highest, positions_[t] >> 6);
  }
  // Rows of cosines and sines: of the low parts, then of the high ones; far and few positions would
  // make the second table longer than the tokens are many, so those get their own row each.
  by_token_ = highest - lowest_ + 1 > tokens;
  const std::int64_t high_rows = by_token_ ? tokens : highest - lowest_ + 1;
  table_ = reinterpret_cast<double*>(context.executor->scratch(
      -1, 0, static_cast<std::size_t>((kLow + high_rows) * width) * sizeof(double)));
  for_ranges(context, kLow + high_rows, 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t high = r - kLow;
      const auto at = static_cast<double>(
          r < kLow ? r : kLow * (by_token_ ? positions_[high] >> 6 : lowest_ + high));
      for (std::int64_t i = 0; i < half; ++i) {
        table_[r * width + i] = std::cos(at * frequency[i]);
        table_[r * width + half + i] = std::sin(at * frequency[i]);
      }
    }
  });
}

const float* RotaryAngles::of(std::int64_t token, int worker) const {
  const std::int64_t width = 2 * pairs_;
  auto* cosine = reinterpret_cast<float*>(
      context_.executor->scratch(worker, 1, static_cast<std::size_t>(width) * sizeof(float)));
  const std::int64_t high = by_token_ ? token : (positions_[token] >> 6) - lowest_;
  HWY_DYNAMIC_DISPATCH(add_angles)
  (table_ + (kLow + high) * width, table_ + (positions_[token] & 63) * width, pairs_, factor_,
   transpose_ ? -factor_ : factor_, cosine, cosine + pairs_);
  return cosine;
}

void rotary(const Context& context,
            View x,
            View positions,
            View frequencies,
            RotaryOptions options,
            View y) {
  const contract::RotaryDims dims = contract::check_rotary(x, positions, frequencies, y);
  if (x.dtype == DType::f64) return ref::rotary(context, x, positions, frequencies, options, y);
  const RotaryAngles angles(context, positions, frequencies, options);
  const auto rotate = [&]<class T>(TurnHead<T> turn) {
    for_ranges(context, dims.tokens, row_grain(dims.heads * dims.head_dim),
               [&](std::int64_t begin, std::int64_t end, int worker) {
                 for (std::int64_t t = begin; t < end; ++t) {
                   const float* cosine = angles.of(t, worker);
                   for (std::int64_t a = 0; a < dims.heads; ++a) {
                     const T* from = x.as<const T>() + t * x.strides[0] + a * x.strides[1];
                     T* to = y.as<T>() + t * y.strides[0] + a * y.strides[1];
                     turn(from, cosine, cosine + dims.pairs, dims.pairs, to);
                     if (to != from)
                       std::copy(from + 2 * dims.pairs, from + dims.head_dim, to + 2 * dims.pairs);
                   }
                 }
               });
  };
  if (x.dtype == DType::f32) return rotate(turn_heads_here().f32);
  rotate(turn_heads_here().bf16);
}

}  // namespace tera::kernels::cpu
#endif
