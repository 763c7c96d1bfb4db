#include "core/comm/collective_checks.h"

#include <numeric>

#include "core/base/check.h"

namespace tera::comm {

void check_contiguous(const char* what, const Tensor& x) {
  TERA_CHECK(x.present() && x.view().contiguous(),
             "{}: the tensor of shape [{}] has gaps or is absent, expected it contiguous", what,
             fmt::join(x.shape(), ", "));
}

void check_reducible(const char* what, const Tensor& x) {
  check_contiguous(what, x);
  TERA_CHECK(x.dtype() == DType::f32 || x.dtype() == DType::f64 || x.dtype() == DType::i64,
             "{}: cannot reduce {}, expected f32, f64 or i64", what, dtype_name(x.dtype()));
}

void check_shards(const char* what, const Tensor& shard, const Tensor& whole, int size) {
  check_contiguous(what, shard);
  check_contiguous(what, whole);
  std::vector<std::int64_t> expected = shard.shape();
  expected.front() *= size;
  TERA_CHECK(whole.shape() == expected && whole.dtype() == shard.dtype(),
             "{}: {} shards of {} [{}] do not make {} [{}]", what, size, dtype_name(shard.dtype()),
             fmt::join(shard.shape(), ", "), dtype_name(whole.dtype()),
             fmt::join(whole.shape(), ", "));
}

void check_rows(const char* what, const Tensor& x, std::span<const std::int64_t> rows, int size) {
  check_contiguous(what, x);
  const std::int64_t total = std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
  TERA_CHECK(std::ssize(rows) == size && total == x.dim(0),
             "{}: row counts [{}] for {} ranks and a tensor of {} rows", what,
             fmt::join(rows, ", "), size, x.dim(0));
  for (const std::int64_t count : rows)
    TERA_CHECK(count >= 0, "{}: negative row count {}", what, count);
}

std::int64_t row_bytes(const Tensor& x) {
  std::int64_t bytes = dtype_bytes(x.dtype());
  for (int d = 1; d < x.rank(); ++d)
    bytes *= x.dim(d);
  return bytes;
}

}  // namespace tera::comm
