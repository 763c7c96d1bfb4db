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

void adamw_f32(
    const AdamWFactors& f, float* weight, const float* grad, float* m, float* v, std::int64_t n) {
  const F32 d;
  const VF keep1 = hn::Set(d, f.beta1);
  const VF keep2 = hn::Set(d, f.beta2);
  const VF take1 = hn::Set(d, f.one_minus_beta1);
  const VF take2 = hn::Set(d, f.one_minus_beta2);
  const VF scale = hn::Set(d, f.grad_scale);
  const VF rate = hn::Set(d, f.rate);
  const VF correct2 = hn::Set(d, f.second_correction);
  const VF eps = hn::Set(d, f.eps);
  const VF shrink = hn::Set(d, f.shrink);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = hn::Mul(load_n(grad + i, count), scale);
    const VF mean = hn::MulAdd(keep1, load_n(m + i, count), hn::Mul(take1, g));
    const VF square = hn::MulAdd(keep2, load_n(v + i, count), hn::Mul(take2, hn::Mul(g, g)));
    store_n(mean, m + i, count);
    store_n(square, v + i, count);
    const VF denominator = hn::Add(hn::Sqrt(hn::Mul(square, correct2)), eps);
    const VF step = hn::Div(hn::Mul(rate, mean), denominator);
    const VF fresh =
        hn::Sub(hn::MulAdd(load_n(weight + i, count), shrink, load_n(weight + i, count)), step);
    store_n(fresh, weight + i, count);
  });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(adamw_f32);

void adamw(const Context& context, View weight, View grad, View m, View v, AdamWOptions options) {
  const std::int64_t n = contract::check_adamw(weight, grad, m, v, options);
  if (weight.dtype == DType::f64) return ref::adamw(context, weight, grad, m, v, options);
  const auto step = static_cast<double>(options.step);
  const AdamWFactors f{
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
  for_ranges(context, n, 32768, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(adamw_f32)
    (f, weight.as<float>() + begin, grad.as<const float>() + begin, m.as<float>() + begin,
     v.as<float>() + begin, end - begin);
  });
}

}  // namespace tera::kernels::cpu
#endif
