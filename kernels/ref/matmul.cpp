// c (+)= op(a) op(b): for each row of c, the rows of op(b) scaled by the entries of op(a), added in
// order of k in f64.
#include <vector>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

void matmul(const Context&, View a, View b, View c, MatmulOptions options) {
  const auto dims = contract::check_matmul(a, b, c, options);
  const std::int64_t m = dims.m;
  const std::int64_t n = dims.n;
  const std::int64_t k = dims.k;
  // op(b) [K,N] and op(a) [M,K] with plain rows, as doubles.
  const auto unpack = [](const View& v, bool transpose, std::int64_t rows, std::int64_t cols) {
    std::vector<double> plain(static_cast<std::size_t>(rows * cols));
    std::vector<double> line(static_cast<std::size_t>(transpose ? rows : cols));
    for (std::int64_t i = 0; i < v.shape[0]; ++i) {
      load_row(v, i * v.strides[0], v.shape[1], line.data());
      for (std::int64_t j = 0; j < v.shape[1]; ++j) {
        plain[static_cast<std::size_t>(transpose ? j * cols + i : i * cols + j)] =
            line[static_cast<std::size_t>(j)];
      }
    }
    return plain;
  };
  const std::vector<double> left = unpack(a, options.transpose_a, m, k);
  const std::vector<double> right = unpack(b, options.transpose_b, k, n);
  std::vector<double> sum(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < m; ++i) {
    if (options.accumulate) {
      load_row(c, i * c.strides[0], n, sum.data());
    } else {
      sum.assign(sum.size(), 0.0);
    }
    for (std::int64_t p = 0; p < k; ++p) {
      const double scale = left[static_cast<std::size_t>(i * k + p)];
      const double* from = right.data() + p * n;
      for (std::int64_t j = 0; j < n; ++j)
        sum[static_cast<std::size_t>(j)] += scale * from[j];
    }
    store_row(c, i * c.strides[0], n, sum.data());
  }
}

}  // namespace tera::kernels::ref
