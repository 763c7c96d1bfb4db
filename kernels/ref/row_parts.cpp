// Sums over rows and rows times scales: steps of a norm over rows that ranks share out.
#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void dot_rows(const Context&, View x, View y, View w, View sums) {
  const auto dims = contract::check_dot_rows(x, y, w, sums);
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < dims.rows; ++t) {
      double sum = 0;
      for (std::int64_t i = 0; i < dims.cols; ++i) {
        const double product = load(row<const C>(x, t)[i]) * load(row<const C>(y, t)[i]);
        sum += w.present() ? product * load(w.as<const C>()[i]) : product;
      }
      store(sums.as<A>()[t], sum);
    }
  });
}

void scale_rows(const Context&, View x, View w, View x_scale, View y, View y_scale, View z) {
  const auto dims = contract::check_scale_rows(x, w, x_scale, y, y_scale, z);
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < dims.rows; ++t) {
      const double scale = load(x_scale.as<const A>()[t]);
      for (std::int64_t i = 0; i < dims.cols; ++i) {
        double value = load(row<const C>(x, t)[i]) * load(w.as<const C>()[i]) * scale;
        if (y.present()) value += load(row<const C>(y, t)[i]) * load(y_scale.as<const A>()[t]);
        store(row<C>(z, t)[i], value);
      }
    }
  });
}

}  // namespace tera::kernels::ref
