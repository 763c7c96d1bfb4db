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

HWY_INLINE Slope relu_squared(VF x) {
  const F32 d;
  const VF positive = hn::Max(x, hn::Zero(d));
  return {hn::Mul(positive, positive), hn::Add(positive, positive)};
}

// x Phi(x). With a = |x|, Phi(-a) = exp(-a^2 / 2) t P(t), where t = 1 / (1 + 0.3 a) and P is the
// polynomial of degree 7 whose largest relative error on 0 <= a <= 13.2, where f32 ends, is least:
// 1.2e-7, fitted with Remez' exchange in 50 digits. a^2 is squared exactly, in two parts.
HWY_INLINE Slope gelu_exact(VF x) {
  const F32 d;
  const VF one = hn::Set(d, 1.0F);
  const VF a = hn::Min(hn::Abs(x), hn::Set(d, 14.0F));
  const VF t = hn::Div(one, hn::MulAdd(a, hn::Set(d, 0.3F), one));
  VF p = hn::Set(d, 0.0360888168F);
  p = hn::MulAdd(p, t, hn::Set(d, -0.158933651F));
  p = hn::MulAdd(p, t, hn::Set(d, 0.209346276F));
  p = hn::MulAdd(p, t, hn::Set(d, -0.0564500119F));
  p = hn::MulAdd(p, t, hn::Set(d, 0.130032585F));
  p = hn::MulAdd(p, t, hn::Set(d, 0.0994650710F));
  p = hn::MulAdd(p, t, hn::Set(d, 0.120826314F));
  p = hn::MulAdd(p, t, hn::Set(d, 0.119624541F));
  const VF square = hn::Mul(a, a);
  const VF rest = hn::MulSub(a, a, square);  // 0 on processors without fused products
  const VF minus_half = hn::Set(d, -0.5F);
  const VF e = hn::Mul(exp_nonpositive(hn::Mul(minus_half, square)),
                       hn::MulAdd(minus_half, rest, one));  // exp(-x^2 / 2)
  const VF below = hn::Mul(e, hn::Mul(t, p));
  const VF phi = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), below, hn::Sub(one, below));
  return {hn::Mul(x, phi), hn::MulAdd(hn::Mul(x, hn::Set(d, 0.398942280F)), e, phi)};
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

// y = f(gate) up, where x holds n gates, then n ups.
template <class Function, class T>
void forward_gated(Function f, const T* x, float scale, std::int64_t n, T* y) {
  const VF vscale = hn::Set(F32(), scale);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF gate = f(load_n(x + i, count)).value;
    store_n(hn::Mul(hn::Mul(gate, load_n(x + n + i, count)), vscale), y + i, count);
  });
}

template <class Function, class T>
float backward_gated(Function f, const T* dy, const T* x, float scale, std::int64_t n, T* dx) {
  const VF vscale = hn::Set(F32(), scale);
  VF sum = hn::Zero(F32());
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = load_n(dy + i, count);
    const VF up = load_n(x + n + i, count);
    const Slope gate = f(load_n(x + i, count));
    sum = hn::MulAdd(hn::Mul(g, gate.value), up, sum);
    const VF scaled = hn::Mul(vscale, g);
    store_n(hn::Mul(hn::Mul(scaled, up), gate.derivative), dx + i, count);
    store_n(hn::Mul(scaled, gate.value), dx + n + i, count);
  });
  return sum_lanes(sum);
}

template <class T>
void forward_row(Activation type, const T* x, float scale, std::int64_t n, T* y) {
  switch (type) {
    case Activation::swiglu:
      return forward_gated([](VF v) { return silu(v); }, x, scale, n, y);
    case Activation::geglu:
      return forward_gated([](VF v) { return gelu(v); }, x, scale, n, y);
    case Activation::gelu:
      return forward_single([](VF v) { return gelu(v); }, x, scale, n, y);
    case Activation::relu:
      return forward_single([](VF v) { return relu(v); }, x, scale, n, y);
    case Activation::gelu_exact:
      return forward_single([](VF v) { return gelu_exact(v); }, x, scale, n, y);
    case Activation::relu_squared:
      return forward_single([](VF v) { return relu_squared(v); }, x, scale, n, y);
  }
}

// Returns sum_f dy act(x).
template <class T>
float backward_row(Activation type, const T* dy, const T* x, float scale, std::int64_t n, T* dx) {
  switch (type) {
    case Activation::swiglu:
      return backward_gated([](VF v) { return silu(v); }, dy, x, scale, n, dx);
    case Activation::geglu:
      return backward_gated([](VF v) { return gelu(v); }, dy, x, scale, n, dx);
    case Activation::gelu:
      return backward_single([](VF v) { return gelu(v); }, dy, x, scale, n, dx);
    case Activation::relu:
      return backward_single([](VF v) { return relu(v); }, dy, x, scale, n, dx);
    case Activation::gelu_exact:
      return backward_single([](VF v) { return gelu_exact(v); }, dy, x, scale, n, dx);
    case Activation::relu_squared:
      return backward_single([](VF v) { return relu_squared(v); }, dy, x, scale, n, dx);
  }
  return 0;
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
