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
#include "kernels/cpu/norm_rows.h"
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

const NormRows& norm_rows() {
  static constexpr NormRows kRows = {
      {forward_row<float>, input_row<float>, weight_row<float>},
      {forward_row<Bf16>, input_row<Bf16>, weight_row<Bf16>},
  };
  return kRows;
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {
namespace {

HWY_EXPORT(norm_rows);

// body(rows) with the rows of f32 or bf16.
template <class Body>
void with_rows(DType dtype, Body&& body) {
  const NormRows& rows = HWY_DYNAMIC_DISPATCH(norm_rows)();
  if (dtype == DType::f32) return body(rows.f32);
  body(rows.bf16);
}

// Mean of row t that forward kept; rms norms have none.
float mean_at(const View& mean, NormType type, std::int64_t t) {
  return type == NormType::layer ? mean.as<const float>()[t] : 0.0F;
}

}  // namespace

void norm_forward(const Context& context,
                  NormType type,
                  View x,
                  View w,
                  View b,
                  double eps,
                  View y,
                  View rstd,
                  View mean) {
  const contract::RowDims dims = contract::check_norm_forward(type, x, w, b, y, rstd, mean);
  const std::int64_t n = dims.cols;
  if (x.dtype == DType::f64) return ref::norm_forward(context, type, x, w, b, eps, y, rstd, mean);
  with_rows(x.dtype, [&]<class T>(const NormRowsOf<T>& rows) {
    for_rows(context, dims.rows, n, [&](std::int64_t t) {
      rows.forward(x.as<const T>() + t * n, w.as<const T>(), b.as<const T>(),
                   type == NormType::layer, static_cast<float>(eps), n, y.as<T>() + t * n,
                   rstd.as<float>() + t, mean.present() ? mean.as<float>() + t : nullptr);
    });
  });
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
  const contract::RowDims dims =
      contract::check_norm_backward_input(type, dy, x, w, rstd, mean, dx);
  const std::int64_t n = dims.cols;
  if (x.dtype == DType::f64)
    return ref::norm_backward_input(context, type, dy, x, w, rstd, mean, dx, accumulate);
  with_rows(x.dtype, [&]<class T>(const NormRowsOf<T>& rows) {
    for_rows(context, dims.rows, n, [&](std::int64_t t) {
      rows.input(dy.as<const T>() + t * n, x.as<const T>() + t * n, w.as<const T>(),
                 type == NormType::layer, rstd.as<const float>()[t], mean_at(mean, type, t), n,
                 dx.as<T>() + t * n, accumulate);
    });
  });
}

void norm_backward_weight(const Context& context,
                          NormType type,
                          View dy,
                          View x,
                          View rstd,
                          View mean,
                          View dw,
                          View db) {
  const contract::RowDims dims =
      contract::check_norm_backward_weight(type, dy, x, rstd, mean, dw, db);
  const std::int64_t n = dims.cols;
  if (x.dtype == DType::f64)
    return ref::norm_backward_weight(context, type, dy, x, rstd, mean, dw, db);
  with_rows(x.dtype, [&]<class T>(const NormRowsOf<T>& rows) {
    sum_rows_by_blocks(
        context, dims.rows, n, db.present() ? 2 : 1, {dw.as<float>(), db.as<float>()},
        [&](std::int64_t begin, std::int64_t end, float* weight, float* bias) {
          for (std::int64_t t = begin; t < end; ++t) {
            rows.weight(dy.as<const T>() + t * n, x.as<const T>() + t * n,
                        rstd.as<const float>()[t], mean_at(mean, type, t), n, weight, bias);
          }
        });
  });
}

}  // namespace tera::kernels::cpu
#endif
