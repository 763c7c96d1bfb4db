// Adafactor in three passes over the gradient: row and column moments, the size of the update, the
// update. Sums are cut by fixed blocks of rows.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adafactor.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/contract.h"
#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/optimizer.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/ref/ref.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

// Updates of `count` elements of a row from column i on: row is rows_i / row_mean.
HWY_INLINE VF updates(const float* grad,
                      const float* cols,
                      VF row,
                      VF least,
                      VF scale,
                      std::int64_t i,
                      std::int64_t count) {
  const VF square = hn::Max(hn::Mul(row, load_n(cols + i, count)), least);
  return hn::Div(hn::Mul(load_n(grad + i, count), scale), hn::Sqrt(square));
}

}  // namespace

// sums[j] += (scale g_j)^2; returns the sum of them over the row.
float square_row(const float* grad, float scale, float* sums, std::int64_t n) {
  const F32 d;
  const VF by = hn::Set(d, scale);
  VF total = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF g = hn::Mul(load_n(grad + i, count), by);
    const VF square = hn::Mul(g, g);
    store_n(hn::Add(load_n(sums + i, count), square), sums + i, count);
    total = hn::Add(total, square);
  });
  return sum_lanes(total);
}

double update_squares(
    const float* grad, const float* cols, float row, float least, float scale, std::int64_t n) {
  const F32 d;
  VF total = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF u =
        updates(grad, cols, hn::Set(d, row), hn::Set(d, least), hn::Set(d, scale), i, count);
    total = hn::MulAdd(u, u, total);
  });
  return static_cast<double>(sum_lanes(total));
}

void adafactor_row(const AdafactorOptions& o,
                   const UpdateParts& at,
                   const float* cols,
                   float row,
                   std::int64_t n) {
  const F32 d;
  const VF least = hn::Set(d, static_cast<float>(o.eps * o.eps));
  const VF scale = hn::Set(d, static_cast<float>(o.grad_scale));
  const VF rate = hn::Set(d, static_cast<float>(-o.learning_rate));
  const VF shrink = hn::Set(d, static_cast<float>(-o.decay));
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF u = updates(at.grad, cols, hn::Set(d, row), least, scale, i, count);
    const VF old = load_n(at.weight + i, count);
    const VF fresh = hn::MulAdd(rate, u, hn::MulAdd(old, shrink, old));
    store_n(fresh, at.weight + i, count);
  });
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {
namespace {

HWY_EXPORT(square_row);
HWY_EXPORT(update_squares);
HWY_EXPORT(adafactor_row);

float row_factor(const View& rows, std::int64_t i, double row_mean) {
  return rows.present()
             ? static_cast<float>(static_cast<double>(rows.as<const float>()[i]) / row_mean)
             : 1.0F;
}

}  // namespace

double factored_moments(
    const Context& context, View grad, View rows, View cols, double grad_scale, double take) {
  const contract::RowDims dims = contract::check_factored("factored_moments", grad, rows, cols);
  if (grad.dtype == DType::f64)
    return ref::factored_moments(context, grad, rows, cols, grad_scale, take);
  const auto width = static_cast<double>(dims.cols);
  const auto scale = static_cast<float>(grad_scale);
  auto* sums = reinterpret_cast<float*>(context.executor->scratch(
      -1, 1, static_cast<std::size_t>(dims.cols + dims.rows + 1) * sizeof(float)));
  float* row_sums = sums + dims.cols;
  std::fill_n(sums, dims.cols, 0.0F);
  sum_rows_by_blocks(context, dims.rows, dims.cols, 1, {sums, nullptr},
                     [&](std::int64_t begin, std::int64_t end, float* sum, float*) {
                       for (std::int64_t i = begin; i < end; ++i) {
                         row_sums[i] = HWY_DYNAMIC_DISPATCH(square_row)(
                             grad.as<const float>() + i * dims.cols, scale, sum, dims.cols);
                       }
                     });
  const auto blend = [take](float& to, double fresh) {
    to = static_cast<float>(static_cast<double>(to) + take * (fresh - static_cast<double>(to)));
  };
  for (std::int64_t j = 0; j < dims.cols; ++j)
    blend(cols.as<float>()[j], static_cast<double>(sums[j]) / static_cast<double>(dims.rows));
  if (!rows.present()) return 1;
  double total = 0;
  for (std::int64_t i = 0; i < dims.rows; ++i) {
    blend(rows.as<float>()[i], static_cast<double>(row_sums[i]) / width);
    total += static_cast<double>(rows.as<float>()[i]);
  }
  return total / static_cast<double>(dims.rows);
}

double adafactor_norm(
    const Context& context, View grad, View rows, View cols, AdafactorOptions options) {
  const contract::RowDims dims = contract::check_factored("adafactor_norm", grad, rows, cols);
  if (grad.dtype == DType::f64) return ref::adafactor_norm(context, grad, rows, cols, options);
  auto* row_sums = reinterpret_cast<double*>(
      context.executor->scratch(-1, 0, static_cast<std::size_t>(dims.rows + 1) * sizeof(double)));
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t i) {
    row_sums[i] = HWY_DYNAMIC_DISPATCH(update_squares)(
        grad.as<const float>() + i * dims.cols, cols.as<const float>(),
        row_factor(rows, i, options.row_mean), static_cast<float>(options.eps * options.eps),
        static_cast<float>(options.grad_scale), dims.cols);
  });
  double sum = 0;
  for (std::int64_t i = 0; i < dims.rows; ++i)
    sum += row_sums[i];
  return sum;
}

void adafactor(const Context& context,
               View weight,
               View grad,
               View rows,
               View cols,
               AdafactorOptions options) {
  const contract::RowDims dims = contract::check_adafactor(weight, grad, rows, cols);
  if (weight.dtype == DType::f64) return ref::adafactor(context, weight, grad, rows, cols, options);
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t i) {
    HWY_DYNAMIC_DISPATCH(adafactor_row)
    (options, parts_at(weight, grad, {}, i * dims.cols), cols.as<const float>(),
     row_factor(rows, i, options.row_mean), dims.cols);
  });
}

}  // namespace tera::kernels::cpu
#endif
