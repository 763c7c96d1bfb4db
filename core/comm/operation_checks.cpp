#include "core/comm/operation_checks.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/check.h"

namespace tera::comm {
namespace {

void check_contiguous(std::string_view what, const Tensor& x) {
  TERA_CHECK(x.present() && x.view().contiguous(),
             "{}: the tensor of shape [{}] has gaps or is absent, expected it contiguous", what,
             fmt::join(x.shape(), ", "));
}

void check_reducible(std::string_view what, const Tensor& x) {
  constexpr std::array kReducible = {DType::f32, DType::f64, DType::i64, DType::bf16, DType::f16};
  TERA_CHECK(std::find(kReducible.begin(), kReducible.end(), x.dtype()) != kReducible.end(),
             "{}: cannot reduce {}, expected f32, f64, i64, bf16 or f16", what,
             dtype_name(x.dtype()));
}

// `whole` holds `size` shards like `shard` along dim 0.
void check_shards(std::string_view what, const Tensor& shard, const Tensor& whole, int size) {
  TERA_CHECK(shard.rank() > 0, "{}: a scalar has no rows to share", what);
  std::vector<std::int64_t> expected = shard.shape();
  expected.front() *= size;
  TERA_CHECK(whole.shape() == expected && whole.dtype() == shard.dtype(),
             "{}: {} shards of {} [{}] do not make {} [{}]", what, size, dtype_name(shard.dtype()),
             fmt::join(shard.shape(), ", "), dtype_name(whole.dtype()),
             fmt::join(whole.shape(), ", "));
}

// The rows of x are the sum of `rows`, one entry per rank.
void check_rows(std::string_view what,
                const Tensor& x,
                const std::vector<std::int64_t>& rows,
                int size) {
  TERA_CHECK(x.rank() > 0, "{}: a scalar has no rows to send", what);
  const std::int64_t total = std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
  TERA_CHECK(std::ssize(rows) == size && total == x.dim(0),
             "{}: row counts [{}] for {} ranks and a tensor of {} rows", what,
             fmt::join(rows, ", "), size, x.dim(0));
  for (const std::int64_t count : rows)
    TERA_CHECK(count >= 0, "{}: negative row count {}", what, count);
}

}  // namespace

void check_operation(const Operation& operation, int size) {
  const std::string_view what = enum_name(operation.kind);
  if (operation.kind == OperationKind::barrier || operation.kind == OperationKind::split) return;
  if (operation.kind != OperationKind::recv) check_contiguous(what, operation.from);
  if (operation.kind != OperationKind::send) check_contiguous(what, operation.to);
  TERA_CHECK(operation.peer >= 0 && operation.peer < size, "{}: rank {} in a group of {}", what,
             operation.peer, size);
  switch (operation.kind) {
    case OperationKind::all_reduce:
      return check_reducible(what, operation.from);
    case OperationKind::reduce_scatter:
      check_reducible(what, operation.from);
      return check_shards(what, operation.to, operation.from, size);
    case OperationKind::all_gather:
      return check_shards(what, operation.from, operation.to, size);
    case OperationKind::all_to_all:
      check_rows(what, operation.from, operation.send_rows, size);
      check_rows(what, operation.to, operation.recv_rows, size);
      TERA_CHECK(row_bytes(operation.from) == row_bytes(operation.to),
                 "{}: sends rows of {} bytes, receives of {}", what, row_bytes(operation.from),
                 row_bytes(operation.to));
      return;
    case OperationKind::broadcast:
    case OperationKind::send:
    case OperationKind::recv:
    case OperationKind::barrier:
    case OperationKind::split:
      return;
  }
}

std::int64_t row_bytes(const Tensor& x) {
  std::int64_t bytes = dtype_bytes(x.dtype());
  for (int d = 1; d < x.rank(); ++d)
    bytes *= x.dim(d);
  return bytes;
}

}  // namespace tera::comm
