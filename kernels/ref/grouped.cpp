// Products of each expert's rows with its own weight: a matmul per expert on its slice.
#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {
namespace {

// Rows [begin, end) of a matrix.
View rows_of(const View& v, std::int64_t begin, std::int64_t end) {
  View part = v;
  part.data = v.as<std::byte>() + begin * v.strides[0] * dtype_bytes(v.dtype);
  part.shape[0] = end - begin;
  return part;
}

// Matrix e of [E, rows, cols].
View matrix_of(const View& v, std::int64_t e) {
  View part = v;
  part.data = v.as<std::byte>() + e * v.strides[0] * dtype_bytes(v.dtype);
  part.rank = 2;
  part.shape = {v.shape[1], v.shape[2], 1, 1};
  part.strides = {v.strides[1], v.strides[2], 0, 0};
  return part;
}

}  // namespace

void grouped_matmul(
    const Context& context, View x, View w, View offsets, View y, bool transpose_w) {
  const auto dims = contract::check_grouped_matmul(x, w, offsets, y, transpose_w);
  const auto* o = offsets.as<const std::int64_t>();
  for (std::int64_t e = 0; e < dims.experts; ++e) {
    if (o[e] == o[e + 1]) continue;
    matmul(context, rows_of(x, o[e], o[e + 1]), matrix_of(w, e), rows_of(y, o[e], o[e + 1]),
           {.transpose_b = transpose_w});
  }
}

void grouped_matmul_weight(
    const Context& context, View dy, View x, View offsets, View dw, bool accumulate) {
  const auto dims = contract::check_grouped_matmul_weight(dy, x, offsets, dw);
  const auto* o = offsets.as<const std::int64_t>();
  for (std::int64_t e = 0; e < dims.experts; ++e) {
    if (accumulate && o[e] == o[e + 1]) continue;
    matmul(context, rows_of(dy, o[e], o[e + 1]), rows_of(x, o[e], o[e + 1]), matrix_of(dw, e),
           {.transpose_a = true, .accumulate = accumulate});
  }
}

}  // namespace tera::kernels::ref
