// Lion, descent with momentum, running means, rounding by chance and f32 in two halves: one pass
// each, so memory is the limit.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/optimizer.cpp"
#include "kernels/cpu/optimizer.h"

#include <algorithm>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

void lion_part(const LionOptions& o, const UpdateParts& at, std::int64_t n) {
  const F32 d;
  const VF one = hn::Set(d, 1.0F);
  const VF keep1 = hn::Set(d, static_cast<float>(o.beta1));
  const VF take1 = hn::Set(d, static_cast<float>(1 - o.beta1));
  const VF keep2 = hn::Set(d, static_cast<float>(o.beta2));
  const VF take2 = hn::Set(d, static_cast<float>(1 - o.beta2));
  const VF scale = hn::Set(d, static_cast<float>(o.grad_scale));
  const VF rate = hn::Set(d, static_cast<float>(-o.learning_rate));
  const VF shrink = hn::Set(d, static_cast<float>(-o.learning_rate * o.weight_decay));
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = hn::Mul(load_n(at.grad + i, count), scale);
    const VF mean = load_n(at.m + i, count);
    const VF direction = hn::MulAdd(keep1, mean, hn::Mul(take1, g));
    const VF sign =
        hn::IfThenElseZero(hn::Ne(direction, hn::Zero(d)), hn::CopySign(one, direction));
    store_n(hn::MulAdd(keep2, mean, hn::Mul(take2, g)), at.m + i, count);
    const VF old = load_n(at.weight + i, count);
    const VF fresh = hn::MulAdd(rate, sign, hn::MulAdd(old, shrink, old));
    store_n(fresh, at.weight + i, count);
  });
}

void sgd_part(const SgdOptions& o, const UpdateParts& at, std::int64_t n) {
  const F32 d;
  const VF momentum = hn::Set(d, static_cast<float>(o.momentum));
  const VF scale = hn::Set(d, static_cast<float>(o.grad_scale));
  const VF rate = hn::Set(d, static_cast<float>(-o.learning_rate));
  const VF shrink = hn::Set(d, static_cast<float>(-o.learning_rate * o.weight_decay));
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = hn::Mul(load_n(at.grad + i, count), scale);
    VF update = g;
    if (at.m != nullptr) {
      const VF velocity = hn::MulAdd(momentum, load_n(at.m + i, count), g);
      store_n(velocity, at.m + i, count);
      update = o.nesterov ? hn::MulAdd(momentum, velocity, g) : velocity;
    }
    const VF old = load_n(at.weight + i, count);
    const VF fresh = hn::MulAdd(rate, update, hn::MulAdd(old, shrink, old));
    store_n(fresh, at.weight + i, count);
  });
}

namespace {

template <class T>
void lerp_vectors(const T* x, float t, float* y, std::int64_t n) {
  const VF share = hn::Set(F32(), t);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF old = load_n(y + i, count);
    store_n(hn::MulAdd(share, hn::Sub(load_n(x + i, count), old), old), y + i, count);
  });
}

}  // namespace

void lerp_f32(const float* x, float t, float* y, std::int64_t n) {
  lerp_vectors(x, t, y, n);
}
void lerp_bf16(const Bf16* x, float t, float* y, std::int64_t n) {
  lerp_vectors(x, t, y, n);
}

void stochastic_round_part(const std::uint32_t* x,
                           const std::uint16_t* noise,
                           std::uint16_t* y,
                           std::int64_t n) {
  const U32 d;
  const U16 dh;
  const auto round = [&](auto bits, auto halves) {
    const auto is_nan = hn::Gt(hn::And(bits, hn::Set(d, 0x7fffffffU)), hn::Set(d, 0x7f800000U));
    const auto carried = hn::Add(bits, hn::PromoteTo(d, halves));
    const auto quiet = hn::Or(bits, hn::Set(d, 0x400000U));
    return hn::TruncateTo(dh, hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, carried)));
  };
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth)
    hn::StoreU(round(hn::LoadU(d, x + i), hn::LoadU(dh, noise + i)), dh, y + i);
  if (i == n) return;
  std::uint32_t last[static_cast<std::size_t>(kWidth)] = {};
  std::uint16_t last_noise[static_cast<std::size_t>(kWidth)] = {};
  std::uint16_t rounded[static_cast<std::size_t>(kWidth)];
  std::copy(x + i, x + n, last);
  std::copy(noise + i, noise + n, last_noise);
  hn::StoreU(round(hn::LoadU(d, last), hn::LoadU(dh, last_noise)), dh, rounded);
  std::copy(rounded, rounded + (n - i), y + i);
}

void split_part(const float* x, std::uint16_t* high, std::uint16_t* low, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    split_n(load_n(x + i, count), high + i, low + i, count);
  });
}

void join_part(const std::uint16_t* high, const std::uint16_t* low, float* x, std::int64_t n) {
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(join_n(high + i, low + i, count), x + i, count);
  });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {
namespace {

HWY_EXPORT(lion_part);
HWY_EXPORT(sgd_part);
HWY_EXPORT(lerp_f32);
HWY_EXPORT(lerp_bf16);
HWY_EXPORT(stochastic_round_part);
HWY_EXPORT(split_part);
HWY_EXPORT(join_part);

constexpr std::int64_t kBlock = 32768;

}  // namespace

UpdateParts parts_at(View weight, View grad, View m, std::int64_t begin) {
  return {.weight = weight.as<float>() + begin,
          .grad = grad.as<const float>() + begin,
          .m = m.present() ? m.as<float>() + begin : nullptr};
}

void lion(const Context& context, View weight, View grad, View m, LionOptions options) {
  const std::int64_t n = contract::check_lion(weight, grad, m);
  if (weight.dtype == DType::f64) return ref::lion(context, weight, grad, m, options);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(lion_part)
    (options, parts_at(weight, grad, m, begin), end - begin);
  });
}

void sgd(const Context& context, View weight, View grad, View m, SgdOptions options) {
  const std::int64_t n = contract::check_sgd(weight, grad, m, options);
  if (weight.dtype == DType::f64) return ref::sgd(context, weight, grad, m, options);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(sgd_part)
    (options, parts_at(weight, grad, m, begin), end - begin);
  });
}

void lerp(const Context& context, View x, double t, View y) {
  const std::int64_t n = contract::check_lerp(x, y);
  if (y.dtype == DType::f64) return ref::lerp(context, x, t, y);
  const auto share = static_cast<float>(t);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    if (x.dtype == DType::f32) {
      HWY_DYNAMIC_DISPATCH(lerp_f32)
      (x.as<const float>() + begin, share, y.as<float>() + begin, end - begin);
    } else {
      HWY_DYNAMIC_DISPATCH(lerp_bf16)
      (x.as<const Bf16>() + begin, share, y.as<float>() + begin, end - begin);
    }
  });
}

void stochastic_round(const Context& context, View x, View noise, View y) {
  const std::int64_t n = contract::check_stochastic_round(x, noise, y);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(stochastic_round_part)
    (x.as<const std::uint32_t>() + begin, noise.as<const std::uint16_t>() + begin,
     y.as<std::uint16_t>() + begin, end - begin);
  });
}

void split_halves(const Context& context, View x, View high, View low) {
  const std::int64_t n = contract::check_halves("split_halves", x, high, low);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(split_part)
    (x.as<const float>() + begin, high.as<std::uint16_t>() + begin, low.as<std::uint16_t>() + begin,
     end - begin);
  });
}

void join_halves(const Context& context, View high, View low, View x) {
  const std::int64_t n = contract::check_halves("join_halves", x, high, low);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(join_part)
    (high.as<const std::uint16_t>() + begin, low.as<const std::uint16_t>() + begin,
     x.as<float>() + begin, end - begin);
  });
}

}  // namespace tera::kernels::cpu
#endif
