// Feed-forward nonlinearities in one pass. 0.5 (1 + tanh(z)) = sigmoid(2 z), so gelu and silu share
// one exp. Row by row, because the gate of a routed row scales it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/activation.cpp"
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

constexpr float kCubic = 0.044715F;
constexpr float kTwiceRoot = 1.5957691216F;  // 2 sqrt(2 / pi)

struct Slope {
  VF value, derivative;
};

HWY_INLINE Slope silu(VF x) {
  const VF s = sigmoid(x);
  const VF value = hn::Mul(x, s);
  return {value, hn::MulAdd(value, hn::Sub(hn::Set(F32(), 1.0F), s), s)};
}

HWY_INLINE Slope gelu(VF x) {
  const F32 d;
  const VF square = hn::Mul(x, x);
  const VF one = hn::Set(d, 1.0F);
  const VF inner = hn::Mul(hn::Set(d, kTwiceRoot), hn::MulAdd(hn::Set(d, kCubic), square, one));
  const VF s = sigmoid(hn::Mul(inner, x));
  const VF value = hn::Mul(x, s);
  const VF slope = hn::Mul(hn::Set(d, kTwiceRoot), hn::MulAdd(hn::Set(d, 3 * kCubic), square, one));
  return {value, hn::MulAdd(hn::Mul(value, hn::Sub(one, s)), slope, s)};
}

HWY_INLINE Slope relu(VF x) {
  const F32 d;
  const auto positive = hn::Gt(x, hn::Zero(d));
  return {hn::IfThenElseZero(positive, x), hn::IfThenElseZero(positive, hn::Set(d, 1.0F))};
}

template <class Function, class T>
void forward_single(Function f, const T* x, float scale, std::int64_t n, T* y) {
  const VF vscale = hn::Set(F32(), scale);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::Mul(f(load_n(x + i, count)).value, vscale), y + i, count);
  });
}

template <class Function, class T>
float backward_single(Function f, const T* dy, const T* x, float scale, std::int64_t n, T* dx) {
  const VF vscale = hn::Set(F32(), scale);
  VF sum = hn::Zero(F32());
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = load_n(dy + i, count);
    const Slope slope = f(load_n(x + i, count));
    sum = hn::MulAdd(g, slope.value, sum);
    store_n(hn::Mul(hn::Mul(vscale, g), slope.derivative), dx + i, count);
  });
  return sum_lanes(sum);
}

template <class T>
void forward_row(Activation type, const T* x, float scale, std::int64_t n, T* y) {
  if (type == Activation::gelu) return forward_single([](VF v) { return gelu(v); }, x, scale, n, y);
  if (type == Activation::relu) return forward_single([](VF v) { return relu(v); }, x, scale, n, y);
  const VF vscale = hn::Set(F32(), scale);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF gate = silu(load_n(x + i, count)).value;
    store_n(hn::Mul(hn::Mul(gate, load_n(x + n + i, count)), vscale), y + i, count);
  });
}

// Returns sum_f dy act(x).
template <class T>
float backward_row(Activation type, const T* dy, const T* x, float scale, std::int64_t n, T* dx) {
  if (type == Activation::gelu)
    return backward_single([](VF v) { return gelu(v); }, dy, x, scale, n, dx);
  if (type == Activation::relu)
    return backward_single([](VF v) { return relu(v); }, dy, x, scale, n, dx);
  const VF vscale = hn::Set(F32(), scale);
  VF sum = hn::Zero(F32());
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = load_n(dy + i, count);
    const VF up = load_n(x + n + i, count);
    const Slope gate = silu(load_n(x + i, count));
    sum = hn::MulAdd(hn::Mul(g, gate.value), up, sum);
    const VF scaled = hn::Mul(vscale, g);
    store_n(hn::Mul(hn::Mul(scaled, up), gate.derivative), dx + i, count);
    store_n(hn::Mul(scaled, gate.value), dx + n + i, count);
  });
  return sum_lanes(sum);
}

}  // namespace

void forward_f32(Activation type, const float* x, float scale, std::int64_t n, float* y) {
  forward_row(type, x, scale, n, y);
}
void forward_bf16(Activation type, const Bf16* x, float scale, std::int64_t n, Bf16* y) {
  forward_row(type, x, scale, n, y);
}
float backward_f32(
    Activation type, const float* dy, const float* x, float scale, std::int64_t n, float* dx) {
  return backward_row(type, dy, x, scale, n, dx);
}
float backward_bf16(
    Activation type, const Bf16* dy, const Bf16* x, float scale, std::int64_t n, Bf16* dx) {
  return backward_row(type, dy, x, scale, n, dx);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(forward_f32);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(backward_f32);
HWY_EXPORT(backward_bf16);

void activation_forward(const Context& context, Activation type, View x, View row_scale, View y) {
  const auto dims = contract::check_activation("activation_forward", type, x, row_scale, y);
  const std::int64_t tokens = dims.rows;
  const std::int64_t n = dims.cols;
  if (x.dtype == DType::f64) return ref::activation_forward(context, type, x, row_scale, y);
  const auto rows = [&]<class T>(auto row) {
    for_rows(context, tokens, n, [&](std::int64_t t) {
      row(type, x.as<const T>() + t * x.strides[0],
          row_scale.present() ? row_scale.as<const float>()[t] : 1.0F, n, y.as<T>() + t * n);
    });
  };
  if (x.dtype == DType::f32) return rows.operator()<float>(HWY_DYNAMIC_DISPATCH(forward_f32));
  rows.operator()<Bf16>(HWY_DYNAMIC_DISPATCH(forward_bf16));
}

void activation_backward(const Context& context,
                         Activation type,
                         View dy,
                         View x,
                         View row_scale,
                         View dx,
                         View drow_scale) {
  const auto dims = contract::check_activation_backward(type, dy, x, row_scale, dx, drow_scale);
  const std::int64_t tokens = dims.rows;
  const std::int64_t n = dims.cols;
  if (x.dtype == DType::f64)
    return ref::activation_backward(context, type, dy, x, row_scale, dx, drow_scale);
  const auto rows = [&]<class T>(auto row) {
    for_rows(context, tokens, n, [&](std::int64_t t) {
      const float sum = row(type, dy.as<const T>() + t * n, x.as<const T>() + t * x.strides[0],
                            row_scale.present() ? row_scale.as<const float>()[t] : 1.0F, n,
                            dx.as<T>() + t * dx.strides[0]);
      if (drow_scale.present()) drow_scale.as<float>()[t] = sum;
    });
  };
  if (x.dtype == DType::f32) return rows.operator()<float>(HWY_DYNAMIC_DISPATCH(backward_f32));
  rows.operator()<Bf16>(HWY_DYNAMIC_DISPATCH(backward_bf16));
}

}  // namespace tera::kernels::cpu
#endif
