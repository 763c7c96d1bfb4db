// Rows of a table by token id, and the sum of row gradients back into it.
#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void embedding_forward(const Context&, View ids, View table, View y, bool accumulate) {
  const auto dims = contract::check_embedding("embedding_forward", ids, table, y, y.dtype, y.dtype);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(y.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int32_t id = ids.as<const std::int32_t>()[t];
      C* to = row<C>(y, t);
      for (std::int64_t h = 0; h < width; ++h) {
        const double found = id < 0 ? 0.0 : load(row<const C>(table, id)[h]);
        store(to[h], found + (accumulate ? load(to[h]) : 0.0));
      }
    }
  });
}

void embedding_backward(const Context&, View ids, View dy, View dtable) {
  const auto dims = contract::check_embedding("embedding_backward", ids, dtable, dy,
                                              accumulate_dtype(dy.dtype), dy.dtype);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(dy.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int32_t id = ids.as<const std::int32_t>()[t];
      if (id < 0) continue;
      const C* from = row<const C>(dy, t);
      A* to = row<A>(dtable, id);
      for (std::int64_t h = 0; h < width; ++h)
        store(to[h], load(to[h]) + load(from[h]));
    }
  });
}

}  // namespace tera::kernels::ref
