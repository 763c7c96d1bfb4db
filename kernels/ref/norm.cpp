// RMS norm and layer norm over the last dim, x^ = (x - mean) rstd, y = x^ w + b.
// Backward: with g = dy w, dx = rstd (g - mean(g) - x^ mean(g x^)); rms has no mean(g) term.
#include <cmath>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

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
  const auto dims = contract::check_norm_forward(type, x, branch, w, b, sum, y, rstd, mean);
  if (branch.present()) {
    add(context, x, branch, sum);
    x = sum;
  }
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const C* from = row<const C>(x, t);
      double average = 0;
      if (type == NormType::layer) {
        for (std::int64_t h = 0; h < width; ++h)
          average += load(from[h]);
        average /= static_cast<double>(width);
      }
      double squares = 0;
      for (std::int64_t h = 0; h < width; ++h)
        squares += (load(from[h]) - average) * (load(from[h]) - average);
      const double scale = 1.0 / std::sqrt(squares / static_cast<double>(width) + eps);
      C* to = row<C>(y, t);
      for (std::int64_t h = 0; h < width; ++h) {
        store(to[h], (load(from[h]) - average) * scale * load(w.as<const C>()[h]) +
                         (b.present() ? load(b.as<const C>()[h]) : 0.0));
      }
      store(rstd.as<A>()[t], scale);
      if (mean.present()) store(mean.as<A>()[t], average);
    }
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
  const auto dims = contract::check_norm_backward_input(type, dy, x, w, rstd, mean, d_stream, dx);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const C* grad = row<const C>(dy, t);
      const C* from = row<const C>(x, t);
      const double scale = load(rstd.as<const A>()[t]);
      const double average = type == NormType::layer ? load(mean.as<const A>()[t]) : 0.0;
      double sum = 0;
      double product = 0;
      for (std::int64_t h = 0; h < width; ++h) {
        const double g = load(grad[h]) * load(w.as<const C>()[h]);
        sum += g;
        product += g * (load(from[h]) - average) * scale;
      }
      const double mean_g = type == NormType::layer ? sum / static_cast<double>(width) : 0.0;
      const double mean_gx = product / static_cast<double>(width);
      C* to = row<C>(dx, t);
      for (std::int64_t h = 0; h < width; ++h) {
        const double g = load(grad[h]) * load(w.as<const C>()[h]);
        const double hat = (load(from[h]) - average) * scale;
        store(to[h], scale * (g - mean_g - hat * mean_gx));
      }
    }
  });
  if (d_stream.present()) add(context, dx, d_stream, dx);
}

void norm_backward_weight(
    const Context&, NormType type, View dy, View x, View rstd, View mean, View dw, View db) {
  const auto dims = contract::check_norm_backward_weight(type, dy, x, rstd, mean, dw, db);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t h = 0; h < width; ++h) {
      double weight = load(dw.as<A>()[h]);
      double bias = db.present() ? load(db.as<A>()[h]) : 0.0;
      for (std::int64_t t = 0; t < tokens; ++t) {
        const double grad = load(row<const C>(dy, t)[h]);
        const double average = type == NormType::layer ? load(mean.as<const A>()[t]) : 0.0;
        weight += grad * (load(row<const C>(x, t)[h]) - average) * load(rstd.as<const A>()[t]);
        bias += grad;
      }
      store(dw.as<A>()[h], weight);
      if (db.present()) store(db.as<A>()[h], bias);
    }
  });
}

}  // namespace tera::kernels::ref
