// Biases: a row added to every row, and the sum over rows back.
#include "kernels/contract.h"
#include "kernels/cpu/column_sums.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {

void add_bias(const Context& context, View y, View b) {
  const auto dims = contract::check_add_bias(y, b);
  const std::int64_t rows = dims.rows;
  const std::int64_t n = dims.cols;
  if (y.dtype == DType::f64) return ref::add_bias(context, y, b);
  if (y.dtype == DType::f32) {
    for_rows(context, rows, n, [&](std::int64_t t) {
      add_row_f32(b.as<const float>(), y.as<float>() + t * y.strides[0], n);
    });
    return;
  }
  auto* wide = reinterpret_cast<float*>(
      context.executor->scratch(-1, 0, static_cast<std::size_t>(n + 1) * sizeof(float)));
  widen_row(b.as<const Bf16>(), wide, n);
  for_rows(context, rows, n,
           [&](std::int64_t t) { round_row(wide, y.as<Bf16>() + t * y.strides[0], n, true); });
}

void bias_backward(const Context& context, View dy, View db) {
  const auto dims = contract::check_bias_backward(dy, db);
  const std::int64_t rows = dims.rows;
  const std::int64_t n = dims.cols;
  if (dy.dtype == DType::f64) return ref::bias_backward(context, dy, db);
  sum_rows_by_blocks(
      context, rows, n, 1, {db.as<float>(), nullptr},
      [&](std::int64_t begin, std::int64_t end, float* sum, float*) {
        const std::int64_t at = begin * dy.strides[0];
        if (dy.dtype == DType::f32) {
          add_rows_f32(dy.as<const float>() + at, dy.strides[0], end - begin, sum, n);
        } else {
          add_rows_bf16(dy.as<const Bf16>() + at, dy.strides[0], end - begin, sum, n);
        }
      });
}

}  // namespace tera::kernels::cpu
