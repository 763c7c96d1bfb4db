// Rows of a table by token. Backward, tasks are runs of columns: each adds all tokens in order, so
// a row that several tokens share needs no care.
#include "kernels/contract.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {
namespace {

constexpr std::int64_t kColumnRun = 64;

View row_of(const View& v, std::int64_t i) {
  View row = v;
  row.data = v.as<std::byte>() + i * v.strides[0] * dtype_bytes(v.dtype);
  row.rank = 1;
  row.shape = {v.shape[1], 1, 1, 1};
  row.strides = {1, 0, 0, 0};
  return row;
}

}  // namespace

void embedding_forward(const Context& context, View ids, View table, View y, bool accumulate) {
  const contract::RowDims dims =
      contract::check_embedding("embedding_forward", ids, table, y, y.dtype, y.dtype);
  if (y.dtype == DType::f64) return ref::embedding_forward(context, ids, table, y, accumulate);
  const auto* id = ids.as<const std::int32_t>();
  for_rows(context, dims.rows, dims.cols, [&](std::int64_t t) {
    const View to = row_of(y, t);
    if (id[t] < 0) {
      if (!accumulate)
        std::fill_n(to.as<std::byte>(), dims.cols * dtype_bytes(y.dtype), std::byte{0});
      return;
    }
    const View from = row_of(table, id[t]);
    if (!accumulate) {
      std::copy_n(from.as<const std::byte>(), dims.cols * dtype_bytes(y.dtype), to.as<std::byte>());
    } else if (y.dtype == DType::f32) {
      add_row_f32(from.as<const float>(), to.as<float>(), dims.cols);
    } else {
      add_row_to_bf16(from.as<const Bf16>(), to.as<Bf16>(), dims.cols);
    }
  });
}

void embedding_backward(const Context& context, View ids, View dy, View dtable) {
  const contract::RowDims dims = contract::check_embedding("embedding_backward", ids, dtable, dy,
                                                           accumulate_dtype(dy.dtype), dy.dtype);
  if (dy.dtype == DType::f64) return ref::embedding_backward(context, ids, dy, dtable);
  const auto* id = ids.as<const std::int32_t>();
  for_ranges(context, dims.cols, kColumnRun, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = 0; t < dims.rows; ++t) {
      if (id[t] < 0) continue;
      float* to = dtable.as<float>() + id[t] * dims.cols + begin;
      if (dy.dtype == DType::f32) {
        add_row_f32(dy.as<const float>() + t * dims.cols + begin, to, end - begin);
      } else {
        add_row_bf16(dy.as<const Bf16>() + t * dims.cols + begin, to, end - begin);
      }
    }
  });
}

}  // namespace tera::kernels::cpu
