// Norms row by row, a row staying in the first-level cache between its passes; the gradients of
// weight and bias are summed over blocks of 64 rows first and then over the blocks in order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include <cmath>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
VF sum_of(const T* x, std::int64_t n) {
  VF sum = hn::Zero(F32());
  for_vectors(
      n, [&](std::int64_t i, std::int64_t count) { sum = hn::Add(sum, load_n(x + i, count)); });
  return sum;
}

// Lanes beyond the row must not count (x - average) as -average.
HWY_INLINE VF within(VF v, std::int64_t count) {
  if (count >= kWidth) return v;
  return hn::IfThenElseZero(hn::FirstN(F32(), static_cast<std::size_t>(count)), v);
}

template <class T>
void forward_row(const T* x,
                 const T* w,
                 const T* b,
                 bool centered,
                 float eps,
                 std::int64_t n,
                 T* y,
                 float* rstd,
                 float* mean) {
  const F32 d;
  const float length = static_cast<float>(n);
  const float average = centered ? sum_lanes(sum_of(x, n)) / length : 0.0F;
  const VF vaverage = hn::Set(d, average);
  VF squares = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF v = within(hn::Sub(load_n(x + i, count), vaverage), count);
    squares = hn::MulAdd(v, v, squares);
  });
  const float scale = 1.0F / std::sqrt(sum_lanes(squares) / length + eps);
  const VF vscale = hn::Set(d, scale);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF hat = hn::Mul(hn::Sub(load_n(x + i, count), vaverage), vscale);
    const VF bias = b == nullptr ? hn::Zero(d) : load_n(b + i, count);
    store_n(hn::MulAdd(hat, load_n(w + i, count), bias), y + i, count);
  });
  *rstd = scale;
  if (mean != nullptr) *mean = average;
}

template <class T>
void input_row(const T* dy,
               const T* x,
               const T* w,
               bool centered,
               float rstd,
               float mean,
               std::int64_t n,
               T* dx,
               bool accumulate) {
  const F32 d;
  const VF vmean = hn::Set(d, mean);
  const VF vscale = hn::Set(d, rstd);
  VF sum = hn::Zero(d);
  VF product = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {  // g is 0 in lanes beyond the row
    const VF g = hn::Mul(load_n(dy + i, count), load_n(w + i, count));
    sum = hn::Add(sum, g);
    product = hn::MulAdd(g, hn::Mul(hn::Sub(load_n(x + i, count), vmean), vscale), product);
  });
  const float length = static_cast<float>(n);
  const VF mean_g = hn::Set(d, centered ? sum_lanes(sum) / length : 0.0F);
  const VF mean_gx = hn::Set(d, sum_lanes(product) / length);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = hn::Mul(load_n(dy + i, count), load_n(w + i, count));
    const VF hat = hn::Mul(hn::Sub(load_n(x + i, count), vmean), vscale);
    VF grad = hn::Mul(vscale, hn::NegMulAdd(hat, mean_gx, hn::Sub(g, mean_g)));
    if (accumulate) grad = hn::Add(grad, load_n(dx + i, count));
    store_n(grad, dx + i, count);
  });
}

template <class T>
void weight_row(
    const T* dy, const T* x, float rstd, float mean, std::int64_t n, float* dw, float* db) {
  const F32 d;
  const VF vmean = hn::Set(d, mean);
  const VF vscale = hn::Set(d, rstd);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = load_n(dy + i, count);
    const VF hat = hn::Mul(hn::Sub(load_n(x + i, count), vmean), vscale);
    store_n(hn::MulAdd(g, hat, load_n(dw + i, count)), dw + i, count);
    if (db != nullptr) store_n(hn::Add(g, load_n(db + i, count)), db + i, count);
  });
}

}  // namespace

void forward_f32(const float* x,
                 const float* w,
                 const float* b,
                 bool centered,
                 float eps,
                 std::int64_t n,
                 float* y,
                 float* rstd,
                 float* mean) {
  forward_row(x, w, b, centered, eps, n, y, rstd, mean);
}
void forward_bf16(const Bf16* x,
                  const Bf16* w,
                  const Bf16* b,
                  bool centered,
                  float eps,
                  std::int64_t n,
                  Bf16* y,
                  float* rstd,
                  float* mean) {
  forward_row(x, w, b, centered, eps, n, y, rstd, mean);
}
void input_f32(const float* dy,
               const float* x,
               const float* w,
               bool centered,
               float rstd,
               float mean,
               std::int64_t n,
               float* dx,
               bool accumulate) {
  input_row(dy, x, w, centered, rstd, mean, n, dx, accumulate);
}
void input_bf16(const Bf16* dy,
                const Bf16* x,
                const Bf16* w,
                bool centered,
                float rstd,
                float mean,
                std::int64_t n,
                Bf16* dx,
                bool accumulate) {
  input_row(dy, x, w, centered, rstd, mean, n, dx, accumulate);
}
void weight_f32(
    const float* dy, const float* x, float rstd, float mean, std::int64_t n, float* dw, float* db) {
  weight_row(dy, x, rstd, mean, n, dw, db);
}
void weight_bf16(
    const Bf16* dy, const Bf16* x, float rstd, float mean, std::int64_t n, float* dw, float* db) {
  weight_row(dy, x, rstd, mean, n, dw, db);
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(forward_f32);
HWY_EXPORT(forward_bf16);
HWY_EXPORT(input_f32);
HWY_EXPORT(input_bf16);
HWY_EXPORT(weight_f32);
HWY_EXPORT(weight_bf16);

void norm_forward(const Context& context,
                  NormType type,
                  View x,
                  View w,
                  View b,
                  double eps,
                  View y,
                  View rstd,
                  View mean) {
  const auto dims = contract::check_norm_forward(type, x, w, b, y, rstd, mean);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  if (x.dtype == DType::f64) return ref::norm_forward(context, type, x, w, b, eps, y, rstd, mean);
  const auto rows = [&]<class T>(auto row) {
    for_ranges(context, tokens, row_grain(width), [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t t = begin; t < end; ++t) {
        row(x.as<const T>() + t * width, w.as<const T>(), b.as<const T>(), type == NormType::layer,
            static_cast<float>(eps), width, y.as<T>() + t * width, rstd.as<float>() + t,
            mean.present() ? mean.as<float>() + t : nullptr);
      }
    });
  };
  if (x.dtype == DType::f32) return rows.operator()<float>(HWY_DYNAMIC_DISPATCH(forward_f32));
  rows.operator()<Bf16>(HWY_DYNAMIC_DISPATCH(forward_bf16));
}

void norm_backward_input(const Context& context,
                         NormType type,
                         View dy,
                         View x,
                         View w,
                         View rstd,
                         View mean,
                         View dx,
                         bool accumulate) {
  const auto dims = contract::check_norm_backward_input(type, dy, x, w, rstd, mean, dx);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  if (x.dtype == DType::f64)
    return ref::norm_backward_input(context, type, dy, x, w, rstd, mean, dx, accumulate);
  const bool centered = type == NormType::layer;
  const auto rows = [&]<class T>(auto row) {
    for_ranges(context, tokens, row_grain(width), [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t t = begin; t < end; ++t) {
        row(dy.as<const T>() + t * width, x.as<const T>() + t * width, w.as<const T>(), centered,
            rstd.as<const float>()[t], centered ? mean.as<const float>()[t] : 0.0F, width,
            dx.as<T>() + t * width, accumulate);
      }
    });
  };
  if (x.dtype == DType::f32) return rows.operator()<float>(HWY_DYNAMIC_DISPATCH(input_f32));
  rows.operator()<Bf16>(HWY_DYNAMIC_DISPATCH(input_bf16));
}

void norm_backward_weight(const Context& context,
                          NormType type,
                          View dy,
                          View x,
                          View rstd,
                          View mean,
                          View dw,
                          View db) {
  const auto dims = contract::check_norm_backward_weight(type, dy, x, rstd, mean, dw, db);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  if (x.dtype == DType::f64)
    return ref::norm_backward_weight(context, type, dy, x, rstd, mean, dw, db);
  const bool centered = type == NormType::layer;
  const auto rows = [&]<class T>(auto row) {
    sum_rows_by_blocks(
        context, tokens, width, db.present() ? 2 : 1, {dw.as<float>(), db.as<float>()},
        [&](std::int64_t t, float* weight, float* bias) {
          row(dy.as<const T>() + t * width, x.as<const T>() + t * width, rstd.as<const float>()[t],
              centered ? mean.as<const float>()[t] : 0.0F, width, weight, bias);
        });
  };
  if (x.dtype == DType::f32) return rows.operator()<float>(HWY_DYNAMIC_DISPATCH(weight_f32));
  rows.operator()<Bf16>(HWY_DYNAMIC_DISPATCH(weight_bf16));
}

}  // namespace tera::kernels::cpu
#endif
