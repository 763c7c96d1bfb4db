// Sums over rows and rows times scales, of f32 and bf16: bound by memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_parts.cpp"
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

template <class T>
float dot(const T* x, const T* y, const T* w, std::int64_t n) {
  VF sum = hn::Zero(F32());
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF factor = load_n(y + i, count);
    sum = hn::MulAdd(load_n(x + i, count),
                     w == nullptr ? factor : hn::Mul(factor, load_n(w + i, count)), sum);
  });
  return sum_lanes(sum);
}

template <class T>
void scale(const T* x, const T* w, float x_scale, const T* y, float y_scale, std::int64_t n, T* z) {
  const VF vx = hn::Set(F32(), x_scale);
  const VF vy = hn::Set(F32(), y_scale);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF scaled = hn::Mul(hn::Mul(load_n(x + i, count), load_n(w + i, count)), vx);
    store_n(y == nullptr ? scaled : hn::MulAdd(load_n(y + i, count), vy, scaled), z + i, count);
  });
}

}  // namespace

float dot_row_f32(const float* x, const float* y, const float* w, std::int64_t n) {
  return dot(x, y, w, n);
}
float dot_row_bf16(const Bf16* x, const Bf16* y, const Bf16* w, std::int64_t n) {
  return dot(x, y, w, n);
}
void scale_row_f32(const float* x,
                   const float* w,
                   float x_scale,
                   const float* y,
                   float y_scale,
                   std::int64_t n,
                   float* z) {
  scale(x, w, x_scale, y, y_scale, n, z);
}
void scale_row_bf16(const Bf16* x,
                    const Bf16* w,
                    float x_scale,
                    const Bf16* y,
                    float y_scale,
                    std::int64_t n,
                    Bf16* z) {
  scale(x, w, x_scale, y, y_scale, n, z);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(dot_row_f32);
HWY_EXPORT(dot_row_bf16);
HWY_EXPORT(scale_row_f32);
HWY_EXPORT(scale_row_bf16);

namespace {

template <class T>
using DotRow = float (*)(const T* x, const T* y, const T* w, std::int64_t n);
template <class T>
using ScaleRow = void (*)(
    const T* x, const T* w, float x_scale, const T* y, float y_scale, std::int64_t n, T* z);

// Row t; null where there is no view.
template <class T>
const T* row_of(const View& view, std::int64_t t) {
  return view.present() ? view.as<const T>() + t * view.strides[0] : nullptr;
}

template <class T>
void dot_rows_of(DotRow<T> dot,
                 const Context& context,
                 contract::RowDims dims,
                 const View& x,
                 const View& y,
                 const View& w,
                 const View& sums) {
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t t) {
    sums.as<float>()[t] = dot(row_of<T>(x, t), row_of<T>(y, t), w.as<const T>(), dims.cols);
  });
}

template <class T>
void scale_rows_of(ScaleRow<T> scale,
                   const Context& context,
                   contract::RowDims dims,
                   const View& x,
                   const View& w,
                   const View& x_scale,
                   const View& y,
                   const View& y_scale,
                   const View& z) {
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t t) {
    scale(row_of<T>(x, t), w.as<const T>(), x_scale.as<const float>()[t], row_of<T>(y, t),
          y_scale.present() ? y_scale.as<const float>()[t] : 0, dims.cols,
          z.as<T>() + t * z.strides[0]);
  });
}

}  // namespace

void dot_rows(const Context& context, View x, View y, View w, View sums) {
  const contract::RowDims dims = contract::check_dot_rows(x, y, w, sums);
  if (x.dtype == DType::f64) return ref::dot_rows(context, x, y, w, sums);
  if (x.dtype == DType::f32)
    return dot_rows_of<float>(HWY_DYNAMIC_DISPATCH(dot_row_f32), context, dims, x, y, w, sums);
  dot_rows_of<Bf16>(HWY_DYNAMIC_DISPATCH(dot_row_bf16), context, dims, x, y, w, sums);
}

void scale_rows(
    const Context& context, View x, View w, View x_scale, View y, View y_scale, View z) {
  const contract::RowDims dims = contract::check_scale_rows(x, w, x_scale, y, y_scale, z);
  if (x.dtype == DType::f64) return ref::scale_rows(context, x, w, x_scale, y, y_scale, z);
  if (x.dtype == DType::f32) {
    return scale_rows_of<float>(HWY_DYNAMIC_DISPATCH(scale_row_f32), context, dims, x, w, x_scale,
                                y, y_scale, z);
  }
  scale_rows_of<Bf16>(HWY_DYNAMIC_DISPATCH(scale_row_bf16), context, dims, x, w, x_scale, y,
                      y_scale, z);
}

}  // namespace tera::kernels::cpu
#endif
