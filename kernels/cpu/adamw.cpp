// One pass over weight, gradient, m and v: 28 B per parameter and nothing read twice, so memory is
// the limit. Bias corrections become factors computed once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cpp"
#include "kernels/cpu/adamw.h"

#include <cmath>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {

namespace {

// Weights as numbers, and in two halves.
struct WholeWeights {
  float* at;
  VF load(std::int64_t i, std::int64_t count) const { return load_n(at + i, count); }
  void store(VF v, std::int64_t i, std::int64_t count) const { store_n(v, at + i, count); }
};

struct HalvedWeights {
  std::uint16_t* high;
  std::uint16_t* low;
  VF load(std::int64_t i, std::int64_t count) const { return join_n(high + i, low + i, count); }
  void store(VF v, std::int64_t i, std::int64_t count) const {
    split_n(v, high + i, low + i, count);
  }
};

template <class Weights>
void update(const AdamWFactors& f, Weights weights, AdamWStates states, std::int64_t n) {
  const F32 d;
  const auto [grad, m, v] = states;
  const VF keep1 = hn::Set(d, f.beta1);
  const VF keep2 = hn::Set(d, f.beta2);
  const VF take1 = hn::Set(d, f.one_minus_beta1);
  const VF take2 = hn::Set(d, f.one_minus_beta2);
  const VF scale = hn::Set(d, f.grad_scale);
  const VF rate = hn::Set(d, f.rate);
  const VF correct2 = hn::Set(d, f.second_correction);
  const VF eps = hn::Set(d, f.eps);
  const VF shrink = hn::Set(d, f.shrink);
  for_vectors(n, [&, grad = grad, m = m, v = v](std::int64_t i, std::int64_t count) {
    const VF g = hn::Mul(load_n(grad + i, count), scale);
    const VF mean = hn::MulAdd(keep1, load_n(m + i, count), hn::Mul(take1, g));
    const VF square = hn::MulAdd(keep2, load_n(v + i, count), hn::Mul(take2, hn::Mul(g, g)));
    store_n(mean, m + i, count);
    store_n(square, v + i, count);
    const VF denominator = hn::Add(hn::Sqrt(hn::Mul(square, correct2)), eps);
    const VF step = hn::Div(hn::Mul(rate, mean), denominator);
    const VF old = weights.load(i, count);
    weights.store(hn::Sub(hn::MulAdd(old, shrink, old), step), i, count);
  });
}

}  // namespace

void adamw_part(const AdamWFactors& f, float* weight, AdamWStates states, std::int64_t n) {
  update(f, WholeWeights{weight}, states, n);
}

void adamw_halves_part(const AdamWFactors& f,
                       std::uint16_t* high,
                       std::uint16_t* low,
                       AdamWStates states,
                       std::int64_t n) {
  update(f, HalvedWeights{high, low}, states, n);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(adamw_part);
HWY_EXPORT(adamw_halves_part);

namespace {

constexpr std::int64_t kBlock = 32768;

AdamWFactors factors_of(const AdamWOptions& options) {
  const auto step = static_cast<double>(options.step);
  return {
      .beta1 = static_cast<float>(options.beta1),
      .beta2 = static_cast<float>(options.beta2),
      .one_minus_beta1 = static_cast<float>(1 - options.beta1),
      .one_minus_beta2 = static_cast<float>(1 - options.beta2),
      .grad_scale = static_cast<float>(options.grad_scale),
      .rate = static_cast<float>(options.learning_rate / (1 - std::pow(options.beta1, step))),
      .second_correction = static_cast<float>(1 / (1 - std::pow(options.beta2, step))),
      .eps = static_cast<float>(options.eps),
      .shrink = static_cast<float>(-options.learning_rate * options.weight_decay),
  };
}

AdamWStates states_at(View grad, View m, View v, std::int64_t begin) {
  return {grad.as<const float>() + begin, m.as<float>() + begin, v.as<float>() + begin};
}

}  // namespace

void adamw(const Context& context, View weight, View grad, View m, View v, AdamWOptions options) {
  const std::int64_t n = contract::check_adamw(weight, grad, m, v, options);
  if (weight.dtype == DType::f64) return ref::adamw(context, weight, grad, m, v, options);
  const AdamWFactors factors = factors_of(options);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(adamw_part)
    (factors, weight.as<float>() + begin, states_at(grad, m, v, begin), end - begin);
  });
}

void adamw_halves(
    const Context& context, View high, View low, View grad, View m, View v, AdamWOptions options) {
  const std::int64_t n = contract::check_adamw_halves(high, low, grad, m, v, options);
  const AdamWFactors factors = factors_of(options);
  for_ranges(context, n, kBlock, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(adamw_halves_part)
    (factors, high.as<std::uint16_t>() + begin, low.as<std::uint16_t>() + begin,
     states_at(grad, m, v, begin), end - begin);
  });
}

}  // namespace tera::kernels::cpu
#endif
