// Adafactor: the second moments of a matrix are the product of a factor per row and one per column.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {
namespace {

// The update of element (i, j), before any clipping.
template <class A>
double update_at(const View& grad,
                 const View& rows,
                 const View& cols,
                 const AdafactorOptions& options,
                 std::int64_t i,
                 std::int64_t j) {
  const std::int64_t width = cols.num_elements();
  const double row = rows.present() ? load(rows.as<const A>()[i]) / options.row_mean : 1.0;
  const double square = std::max(row * load(cols.as<const A>()[j]), options.eps * options.eps);
  return load(grad.as<const A>()[i * width + j]) * options.grad_scale / std::sqrt(square);
}

}  // namespace

double factored_moments(
    const Context&, View grad, View rows, View cols, double grad_scale, double take) {
  const contract::RowDims dims = contract::check_factored("factored_moments", grad, rows, cols);
  double row_mean = 1;
  with_accumulate_type(grad.dtype, [&]<class A>() {
    std::vector<double> column_sums(static_cast<std::size_t>(dims.cols));
    double row_total = 0;
    for (std::int64_t i = 0; i < dims.rows; ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j < dims.cols; ++j) {
        const double g = load(grad.as<const A>()[i * dims.cols + j]) * grad_scale;
        sum += g * g;
        column_sums[static_cast<std::size_t>(j)] += g * g;
      }
      if (!rows.present()) continue;
      A& row = rows.as<A>()[i];
      store(row, load(row) + take * (sum / static_cast<double>(dims.cols) - load(row)));
      row_total += load(row);
    }
    for (std::int64_t j = 0; j < dims.cols; ++j) {
      A& col = cols.as<A>()[j];
      const double mean = column_sums[static_cast<std::size_t>(j)] / static_cast<double>(dims.rows);
      store(col, load(col) + take * (mean - load(col)));
    }
    if (rows.present()) row_mean = row_total / static_cast<double>(dims.rows);
  });
  return row_mean;
}

double adafactor_norm(const Context&, View grad, View rows, View cols, AdafactorOptions options) {
  const contract::RowDims dims = contract::check_factored("adafactor_norm", grad, rows, cols);
  double sum = 0;
  with_accumulate_type(grad.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < dims.rows; ++i) {
      for (std::int64_t j = 0; j < dims.cols; ++j) {
        const double u = update_at<A>(grad, rows, cols, options, i, j);
        sum += u * u;
      }
    }
  });
  return sum;
}

void adafactor(
    const Context&, View weight, View grad, View rows, View cols, AdafactorOptions options) {
  const contract::RowDims dims = contract::check_adafactor(weight, grad, rows, cols);
  with_accumulate_type(weight.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < dims.rows; ++i) {
      for (std::int64_t j = 0; j < dims.cols; ++j) {
        A& p = weight.as<A>()[i * dims.cols + j];
        const double u = update_at<A>(grad, rows, cols, options, i, j);
        store(p, load(p) - options.learning_rate * u - options.decay * load(p));
      }
    }
  });
}

}  // namespace tera::kernels::ref
