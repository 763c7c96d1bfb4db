// Routed rows: where each (token, k) goes, and the moves of vectors and gates there and back.
#include <vector>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void moe_dispatch(const Context&, View indices, View offsets, View rows) {
  const auto dims = contract::check_moe_dispatch(indices, offsets, rows);
  const auto* expert = indices.as<const std::int32_t>();
  auto* offset = offsets.as<std::int64_t>();
  const std::int64_t slots = dims.tokens * dims.top_k;
  std::vector<std::int64_t> next(static_cast<std::size_t>(dims.experts) + 1);
  for (std::int64_t i = 0; i < slots; ++i)
    ++next[static_cast<std::size_t>(expert[i]) + 1];
  for (std::size_t e = 1; e < next.size(); ++e)
    next[e] += next[e - 1];
  for (std::size_t e = 0; e < next.size(); ++e)
    offset[e] = next[e];
  for (std::int64_t i = 0; i < slots; ++i) {
    rows.as<std::int32_t>()[i] =
        static_cast<std::int32_t>(next[static_cast<std::size_t>(expert[i])]++);
  }
}

void moe_permute(const Context&, View x, View rows, View y) {
  const auto dims = contract::check_moe_rows("moe_permute", x, rows, y);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t k = 0; k < rows.shape[1]; ++k) {
        const C* from = row<const C>(x, t);
        C* to = row<C>(y, row<const std::int32_t>(rows, t)[k]);
        for (std::int64_t h = 0; h < width; ++h)
          to[h] = from[h];
      }
    }
  });
}

void moe_unpermute(const Context&, View y, View rows, View x, bool accumulate) {
  const auto dims = contract::check_moe_rows("moe_unpermute", x, rows, y);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      C* to = row<C>(x, t);
      for (std::int64_t h = 0; h < width; ++h) {
        double sum = accumulate ? load(to[h]) : 0.0;
        for (std::int64_t k = 0; k < rows.shape[1]; ++k)
          sum += load(row<const C>(y, row<const std::int32_t>(rows, t)[k])[h]);
        store(to[h], sum);
      }
    }
  });
}

void moe_scatter_gates(const Context&, View gates, View rows, View y) {
  const std::int64_t slots = contract::check_moe_gates("moe_scatter_gates", gates, rows, y);
  with_accumulate_type(gates.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < slots; ++i)
      y.as<A>()[rows.as<const std::int32_t>()[i]] = gates.as<const A>()[i];
  });
}

void moe_gather_gates(const Context&, View y, View rows, View gates) {
  const std::int64_t slots = contract::check_moe_gates("moe_gather_gates", gates, rows, y);
  with_accumulate_type(gates.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < slots; ++i)
      gates.as<A>()[i] = y.as<const A>()[rows.as<const std::int32_t>()[i]];
  });
}

}  // namespace tera::kernels::ref
