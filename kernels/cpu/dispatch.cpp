// Moves of routed rows, token by token. The counting sort and the gates are a few numbers per token
// and stay with the reference.
#include "kernels/contract.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::cpu {

void moe_permute(const Context& context, View x, View rows, View y) {
  const contract::RowDims dims = contract::check_moe_rows("moe_permute", x, rows, y);
  const std::int64_t top_k = rows.shape[1];
  const std::int64_t bytes = dims.cols * dtype_bytes(x.dtype);
  const auto* row = rows.as<const std::int32_t>();
  for_ranges(context, dims.rows, row_grain(dims.cols),
             [&](std::int64_t begin, std::int64_t end, int) {
               for (std::int64_t slot = begin * top_k; slot < end * top_k; ++slot) {
                 if (row[slot] < 0) continue;
                 std::copy_n(x.as<const std::byte>() + slot / top_k * bytes, bytes,
                             y.as<std::byte>() + row[slot] * bytes);
               }
             });
}

void moe_unpermute(const Context& context, View y, View rows, View x, bool accumulate) {
  const contract::RowDims dims = contract::check_moe_rows("moe_unpermute", x, rows, y);
  if (x.dtype == DType::f64) return ref::moe_unpermute(context, y, rows, x, accumulate);
  const std::int64_t top_k = rows.shape[1];
  const auto* row = rows.as<const std::int32_t>();
  const std::int64_t width = dims.cols;
  for_ranges(context, dims.rows, row_grain(width),
             [&](std::int64_t begin, std::int64_t end, int worker) {
               auto* sum = reinterpret_cast<float*>(context.executor->scratch(
                   worker, 0, static_cast<std::size_t>(width + 1) * sizeof(float)));
               for (std::int64_t t = begin; t < end; ++t) {
                 if (x.dtype == DType::f32) {
                   float* to = x.as<float>() + t * width;
                   if (!accumulate) std::fill_n(to, width, 0.0F);
                   for (std::int64_t k = 0; k < top_k; ++k) {
                     const std::int64_t r = row[t * top_k + k];
                     if (r >= 0) add_row_f32(y.as<const float>() + r * width, to, width);
                   }
                   continue;
                 }
                 if (accumulate) {
                   widen_row(x.as<const Bf16>() + t * width, sum, width);
                 } else {
                   std::fill_n(sum, width, 0.0F);
                 }
                 for (std::int64_t k = 0; k < top_k; ++k) {
                   const std::int64_t r = row[t * top_k + k];
                   if (r >= 0) add_row_bf16(y.as<const Bf16>() + r * width, sum, width);
                 }
                 round_row(sum, x.as<Bf16>() + t * width, width, false);
               }
             });
}

}  // namespace tera::kernels::cpu
