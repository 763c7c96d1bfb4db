// Cross entropy per token from logits, and its gradient in their place.
#include <algorithm>
#include <cmath>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void cross_entropy_forward(const Context&,
                           View logits,
                           View targets,
                           std::int64_t first,
                           SoftmaxRows rows,
                           View at_target) {
  const auto dims = contract::check_cross_entropy("cross_entropy_forward", logits, targets, rows);
  with_accumulate_type(logits.dtype, [&]<class A>() {
    for (std::int64_t t = 0; t < dims.rows; ++t) {
      const A* z = row<const A>(logits, t);
      double highest = load(z[0]);
      for (std::int64_t v = 1; v < dims.cols; ++v)
        highest = std::max(highest, load(z[v]));
      double total = 0;
      for (std::int64_t v = 0; v < dims.cols; ++v)
        total += std::exp(load(z[v]) - highest);
      const std::int64_t target = targets.as<const std::int32_t>()[t] - first;
      store(rows.highest.as<A>()[t], highest);
      store(rows.total.as<A>()[t], total);
      store(at_target.as<A>()[t], target >= 0 && target < dims.cols ? load(z[target]) : 0.0);
    }
  });
}

void cross_entropy_backward(const Context&,
                            View logits,
                            View targets,
                            std::int64_t first,
                            SoftmaxRows rows,
                            double grad_scale) {
  const auto dims = contract::check_cross_entropy("cross_entropy_backward", logits, targets, rows);
  with_accumulate_type(logits.dtype, [&]<class A>() {
    for (std::int64_t t = 0; t < dims.rows; ++t) {
      A* z = row<A>(logits, t);
      const std::int64_t target = targets.as<const std::int32_t>()[t];
      const double highest = load(rows.highest.as<const A>()[t]);
      const double total = load(rows.total.as<const A>()[t]);
      for (std::int64_t v = 0; v < dims.cols; ++v) {
        const double p = std::exp(load(z[v]) - highest) / total;
        store(z[v], target < 0 ? 0.0 : grad_scale * (p - (v == target - first ? 1.0 : 0.0)));
      }
    }
  });
}

}  // namespace tera::kernels::ref
