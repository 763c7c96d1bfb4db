// Norms row by row, a row staying in the first-level cache between its passes; the gradients of
// weight and bias are summed over blocks of 64 rows first and then over the blocks in order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include <algorithm>
#include <cmath>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/half.h"
#include "kernels/cpu/norm_rows.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

VF plus(VF a, VF b) {
  return hn::Add(a, b);
}

// Sums of a row beside one another.
struct Pair {
  VF a, b;
};
Pair plus(Pair x, Pair y) {
  return {hn::Add(x.a, y.a), hn::Add(x.b, y.b)};
}

// Sum over the vectors of [0, n), body(i, count, sum) being the sum with one more: four sums side
// by side, so that none waits for the one before it.
template <class Sum, class Body>
HWY_INLINE Sum sum_vectors(std::int64_t n, Sum zero, Body&& body) {
  Sum first = zero;
  Sum second = zero;
  Sum third = zero;
  Sum fourth = zero;
  std::int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    first = body(i, kWidth, first);
    second = body(i + kWidth, kWidth, second);
    third = body(i + 2 * kWidth, kWidth, third);
    fourth = body(i + 3 * kWidth, kWidth, fourth);
  }
  for (; i < n; i += kWidth)
    first = body(i, std::min(kWidth, n - i), first);
  return plus(plus(first, second), plus(third, fourth));
}

// Lanes beyond the row must not count (x - average) as -average.
HWY_INLINE VF within(VF v, std::int64_t count) {
  if (count >= kWidth) return v;
  return hn::IfThenElseZero(hn::FirstN(F32(), static_cast<std::size_t>(count)), v);
}

// The sum of a row, or of its squares; read(i, count) gives its elements, 0 in lanes beyond it.
template <class Read>
HWY_INLINE VF first_sum(std::int64_t n, bool of_squares, Read&& read) {
  const VF zero = hn::Zero(F32());
  if (of_squares) {
    return sum_vectors(n, zero, [&](std::int64_t i, std::int64_t count, VF sum) {
      const VF v = read(i, count);
      return hn::MulAdd(v, v, sum);
    });
  }
  return sum_vectors(n, zero, [&](std::int64_t i, std::int64_t count, VF sum) {
    return hn::Add(sum, read(i, count));
  });
}

template <class T>
void forward_row(const T* x,
                 const T* branch,
                 T* sum,
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
  VF first;
  if (branch == nullptr) {
    first = first_sum(n, !centered,
                      [&](std::int64_t i, std::int64_t count) { return load_n(x + i, count); });
  } else {
    first = first_sum(n, !centered, [&](std::int64_t i, std::int64_t count) {
      return put_n(hn::Add(load_n(x + i, count), load_n(branch + i, count)), sum + i, count);
    });
    x = sum;
  }
  const float average = centered ? sum_lanes(first) / length : 0.0F;
  const VF vaverage = hn::Set(d, average);
  const VF squares =
      centered ? first_sum(n, true,
                           [&](std::int64_t i, std::int64_t count) {
                             return within(hn::Sub(load_n(x + i, count), vaverage), count);
                           })
               : first;
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
               const T* d_stream,
               std::int64_t n,
               T* dx) {
  const F32 d;
  const VF vmean = hn::Set(d, mean);
  const VF vscale = hn::Set(d, rstd);
  // Of g and g x^; g is 0 in lanes beyond the row.
  const Pair sums = sum_vectors(
      n, Pair{hn::Zero(d), hn::Zero(d)}, [&](std::int64_t i, std::int64_t count, Pair sum) {
        const VF g = hn::Mul(load_n(dy + i, count), load_n(w + i, count));
        const VF hat = hn::Mul(hn::Sub(load_n(x + i, count), vmean), vscale);
        return Pair{hn::Add(sum.a, g), hn::MulAdd(g, hat, sum.b)};
      });
  const float length = static_cast<float>(n);
  const VF mean_g = hn::Set(d, centered ? sum_lanes(sums.a) / length : 0.0F);
  const VF mean_gx = hn::Set(d, sum_lanes(sums.b) / length);
  const auto gradient = [&](std::int64_t i, std::int64_t count) {
    const VF g = hn::Mul(load_n(dy + i, count), load_n(w + i, count));
    const VF hat = hn::Mul(hn::Sub(load_n(x + i, count), vmean), vscale);
    return hn::Mul(vscale, hn::NegMulAdd(hat, mean_gx, hn::Sub(g, mean_g)));
  };
  if (d_stream == nullptr) {
    for_vectors(
        n, [&](std::int64_t i, std::int64_t count) { store_n(gradient(i, count), dx + i, count); });
    return;
  }
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF own = rounded_as(dx, gradient(i, count));
    store_n(hn::Add(own, load_n(d_stream + i, count)), dx + i, count);
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
  const NormRows& rows = norm_rows_here();
  if (dtype == DType::f32) return body(rows.f32);
  body(rows.bf16);
}

// Row t, null where there is no view.
template <class T>
T* row_of(const View& v, std::int64_t t, std::int64_t n) {
  return v.present() ? v.as<T>() + t * n : nullptr;
}

// Mean of row t that forward kept; rms norms have none.
float mean_at(const View& mean, NormType type, std::int64_t t) {
  return type == NormType::layer ? mean.as<const float>()[t] : 0.0F;
}

}  // namespace

const NormRows& norm_rows_here() {
  return HWY_DYNAMIC_DISPATCH(norm_rows)();
}

void norm_forward(const Context& context,
                  NormType type,
                  View x,
                  View branch,
                  View w,
                  View b,
                  double eps,
                  View sum,
                  View y,
                  View rstd,
                  View mean) {
  const contract::RowDims dims =
      contract::check_norm_forward(type, x, branch, w, b, sum, y, rstd, mean);
  const std::int64_t n = dims.cols;
  if (x.dtype == DType::f64)
    return ref::norm_forward(context, type, x, branch, w, b, eps, sum, y, rstd, mean);
  if (x.dtype == DType::f16) {  // the sum is rounded before the norm reads it
    if (branch.present()) kWithHalf<add>(context, x, branch, sum);
    return kWithHalf<norm_forward>(context, type, branch.present() ? sum : x, {}, w, b, eps, {}, y,
                                   rstd, mean);
  }
  with_rows(x.dtype, [&]<class T>(const NormRowsOf<T>& rows) {
    for_rows(context, dims.rows, n, [&](std::int64_t t) {
      rows.forward(x.as<const T>() + t * n, row_of<const T>(branch, t, n), row_of<T>(sum, t, n),
                   w.as<const T>(), b.as<const T>(), type == NormType::layer,
                   static_cast<float>(eps), n, y.as<T>() + t * n, rstd.as<float>() + t,
                   row_of<float>(mean, t, 1));
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
                         View d_stream,
                         View dx) {
  const contract::RowDims dims =
      contract::check_norm_backward_input(type, dy, x, w, rstd, mean, d_stream, dx);
  const std::int64_t n = dims.cols;
  if (x.dtype == DType::f64)
    return ref::norm_backward_input(context, type, dy, x, w, rstd, mean, d_stream, dx);
  if (x.dtype == DType::f16) {
    kWithHalf<norm_backward_input>(context, type, dy, x, w, rstd, mean, {}, dx);
    if (d_stream.present()) kWithHalf<add>(context, dx, d_stream, dx);
    return;
  }
  with_rows(x.dtype, [&]<class T>(const NormRowsOf<T>& rows) {
    for_rows(context, dims.rows, n, [&](std::int64_t t) {
      rows.input(dy.as<const T>() + t * n, x.as<const T>() + t * n, w.as<const T>(),
                 type == NormType::layer, rstd.as<const float>()[t], mean_at(mean, type, t),
                 row_of<const T>(d_stream, t, n), n, dx.as<T>() + t * n);
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
