// Cross entropy per token from logits, and its gradient in their place.
#include <algorithm>
#include <cmath>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void cross_entropy(const Context&, View logits, View targets, double grad_scale, View loss) {
  const auto dims = contract::check_cross_entropy(logits, targets, loss);
  const std::int64_t tokens = dims.rows;
  const std::int64_t vocabulary = dims.cols;
  with_accumulate_type(logits.dtype, [&]<class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      A* z = row<A>(logits, t);
      const std::int64_t target = targets.as<const std::int32_t>()[t];
      const bool counts = target >= 0;
      double highest = load(z[0]);
      for (std::int64_t v = 1; v < vocabulary; ++v)
        highest = std::max(highest, load(z[v]));
      double total = 0;
      for (std::int64_t v = 0; v < vocabulary; ++v)
        total += std::exp(load(z[v]) - highest);
      const double lse = highest + std::log(total);
      store(loss.as<A>()[t], counts ? lse - load(z[target]) : 0.0);
      if (grad_scale == 0) continue;
      for (std::int64_t v = 0; v < vocabulary; ++v) {
        const double p = std::exp(load(z[v]) - lse) - (v == target ? 1.0 : 0.0);
        store(z[v], counts ? grad_scale * p : 0.0);
      }
    }
  });
}

}  // namespace tera::kernels::ref
